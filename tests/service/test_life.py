"""The life of a server: killed, started again, drained, refused."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headrace import Client, RetryPolicy
from headrace.errors import Unavailable
from headrace.info import Finished, JobEvent
from support.figures import guard
from support.server import Server, until

pytestmark = pytest.mark.slow


def runs(note: Path) -> list[tuple[str, str]]:
    """(tag, attempt) of each start of test.record."""
    lines = note.read_text().splitlines() if note.exists() else []
    return [(line.split()[1], line.split()[2]) for line in lines if line.startswith("start")]


def test_killed_and_started_again(tmp_path: Path, note: Path, gate: Path) -> None:
    """After SIGKILL: what was answered is there, RUNNING follows the attempt rule, no process is
    left (failure case 1).
    """
    server = Server(tmp_path).start()
    try:
        with server.client() as client:
            parameters = {"log": str(note), "gate": str(gate)}
            once = client.submit("test.record", {**parameters, "tag": "once"})
            twice = client.submit(
                "test.record", {**parameters, "tag": "twice"}, retry_policy=RetryPolicy(max_attempts=2)
            )
            until(lambda: len(runs(note)) == 2, "both run")
            queued = client.submit("test.record", {**parameters, "tag": "queued"})
            held = client.submit("test.noop", hold=True)
            server.kill()
            server.gone()
            gate.touch()
            began = time.monotonic()
            server.start()
            until(lambda: "queued" in dict(runs(note)), "the first claim", guard(5))
            print(f"first claim {time.monotonic() - began:.3f} s after the start")
            lost = once.wait(30)
            assert lost.status == "FAILED"
            assert lost.error is not None
            assert lost.error.kind == "INSTANCE_LOST"
            assert twice.wait(30).status == "SUCCEEDED"
            assert queued.wait(30).status == "SUCCEEDED"
            assert held.refresh().status == "PENDING"
            assert sorted(runs(note)) == [("once", "1"), ("queued", "1"), ("twice", "1"), ("twice", "2")]
    finally:
        server.close()


def test_grandchildren_die_with_a_killed_server(tmp_path: Path, note: Path) -> None:
    """A job deep in C and its setsid grandchild are gone within 2 s of their server (failure cases
    1, 5).
    """
    server = Server(tmp_path).start()
    try:
        with server.client() as client:
            started = tmp_path / "started"
            client.submit("test.stubborn", {"started": str(started), "grandchild": str(note)})
            until(started.exists, "the job runs")
            grandchild = int(note.read_text())
            assert grandchild in server.processes()
            server.kill()
            until(lambda: not server.processes(), "every process of the server is gone", guard(2))
            assert not Path(f"/proc/{grandchild}").exists()
    finally:
        server.close()


def test_watch_goes_on_after_a_restart(tmp_path: Path, note: Path, gate: Path) -> None:
    """A watcher sees the kill and the restart as one history: no event lost, none twice (failure
    case 1).
    """
    server = Server(tmp_path).start()
    try:
        with server.client() as client:
            job = client.submit(
                "test.record", {"log": str(note), "gate": str(gate)}, retry_policy=RetryPolicy(max_attempts=2)
            )
            until(note.exists, "the job runs")
            updates: list[object] = []
            watcher = threading.Thread(target=lambda: updates.extend(job.watch(include_messages=True)))
            watcher.start()
            until(lambda: client.server_info().counters["watchers"] == 1, "the watch is open")
            server.kill()
            gate.touch()
            server.start()
            watcher.join(60)
            assert isinstance(updates[-1], Finished)
            revisions = [update.revision for update in updates if isinstance(update, JobEvent)]
            first = updates[0].job.revision  # type: ignore[attr-defined] # a Snapshot
            assert revisions == list(range(first + 1, updates[-1].job.revision + 1))
            assert updates[-1].job.status == "SUCCEEDED"
    finally:
        server.close()


def test_submits_during_a_kill(tmp_path: Path) -> None:
    """Whatever is answered while the server is killed and restarted is there once, also when
    retried (failure case 22).
    """
    server = Server(tmp_path).start()
    answered: dict[str, str] = {}
    stop = threading.Event()

    def submit(name: int) -> None:
        with server.client(reconnect_timeout=30, timeout=30, wait_for_ready=True) as client:
            for number in range(10_000):
                if stop.is_set():
                    return
                request = f"{name}-{number}"
                answered[request] = client.submit("test.noop", request_id=request).job_id

    threads = [threading.Thread(target=submit, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = len(answered)
            until(lambda before=before: len(answered) > before + 50, "submits are answered")
            server.kill()
            server.start()
        before = len(answered)
        until(lambda: len(answered) > before, "submits go on")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    try:
        with server.client() as client:
            for request, job_id in answered.items():
                again = client.submit("test.noop", request_id=request)
                assert (again.job_id, again.existing) == (job_id, True)
            assert client.count().total == len(answered)
    finally:
        server.close()


def test_second_server_is_refused(tmp_path: Path) -> None:
    """A second server on one file refuses to start and names the process that holds it (failure
    case 11).
    """
    with Server(tmp_path) as server:
        second = subprocess.run(
            [sys.executable, "-m", "headrace_server", "serve", "--address", "127.0.0.1:0"],
            env={**os.environ, "HEADRACE_DATABASE_URL": str(server.settings["database_url"])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 6
        assert server.process is not None
        assert str(server.process.pid) in second.stderr
        assert "Traceback" not in second.stderr


def test_port_in_use(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server whose port is taken says so and ends."""
    with Server(tmp_path) as server:
        second = Server(tmp_path_factory.mktemp("second"), address=server.target)
        second.launch()
        assert second.wait() == 6
        assert second.logged("Cannot listen")
        second.gone()


def test_drain_lets_jobs_finish(tmp_path: Path, note: Path, gate: Path) -> None:
    """SIGTERM: submits are refused, a running job may finish, what waits is kept (acceptance 82)."""
    server = Server(tmp_path, drain_time=60, workers=1).start()
    with server.client(timeout=2) as client:
        job = client.submit("test.record", {"log": str(note), "gate": str(gate)})
        until(note.exists, "the job runs")
        waiting = client.submit("test.noop")
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        until(lambda: client.server_info().draining, "the server drains")
        with pytest.raises(Unavailable):
            client.submit("test.noop")
        watch = job.watch()
        assert next(watch)
        gate.touch()
        assert [update.job.status for update in watch if isinstance(update, Finished)] == ["SUCCEEDED"]
    assert server.wait() == 0
    server.gone()
    with Server(tmp_path, address=server.target) as again, again.client() as client:
        assert client.get(job.job_id).status == "SUCCEEDED"
        assert client.wait(waiting.job_id, 30).status == "SUCCEEDED"


def test_drain_ends_what_does_not_finish(tmp_path: Path, note: Path) -> None:
    """After the drain time a job is ended, never SUCCEEDED, and follows the attempt rule
    (acceptance 82).
    """
    server = Server(tmp_path, drain_time=0.1).start()
    with server.client() as client:
        jobs = [
            client.submit(
                "test.sleeper", {"started": str(note)}, retry_policy=RetryPolicy(max_attempts=attempts)
            )
            for attempts in (1, 2)
        ]
        until(lambda: note.exists() and len(note.read_text().split()) == 2, "both run")
    assert server.stop() == 0
    server.gone()
    with Server(tmp_path, address=server.target, workers=0) as again, again.client() as client:
        ended = client.get(jobs[0].job_id)
        assert ended.status == "FAILED"
        assert ended.error is not None
        assert ended.error.kind == "INSTANCE_DRAINED"
        assert client.get(jobs[1].job_id).status == "QUEUED"


def test_throughput_of_neighbours(tmp_path: Path) -> None:
    """Jobs that kill their worker, again and again, harm themselves alone (failure cases 2, 30)."""
    with Server(tmp_path) as server, server.client() as client:
        jobs = [
            client.submit("test.die" if n % 10 == 0 else "test.noop", {"how": "kill"} if n % 10 == 0 else {})
            for n in range(60)
        ]
        ended = [job.wait(60) for job in jobs]
        for number, job in enumerate(ended):
            assert job.status == ("FAILED" if number % 10 == 0 else "SUCCEEDED")


def test_workers_are_recycled(tmp_path: Path) -> None:
    """A worker is replaced after its number of runs, and no run is lost or doubled by that."""
    with Server(tmp_path, max_jobs_per_worker=5, workers=1) as server, server.client() as client:
        jobs = [client.submit("test.context") for _ in range(30)]
        pids = [job.result(60)["pid"] for job in jobs]
        assert len(set(pids)) == 6
        assert all(job.refresh().attempts[0].error is None for job in jobs)


def test_broken_job_module(tmp_path: Path) -> None:
    """A module that fails to import is logged and listed; the others load (failure case 27)."""
    with Server(tmp_path, jobs="support.jobs,support.missing") as server, server.client() as client:
        broken = [found for found in client.types() if found.load_error]
        assert [found.module for found in broken] == ["support.missing"]
        assert "No module named" in broken[0].load_error
        assert server.logged("support.missing")
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"


def test_job_that_the_pool_refuses(tmp_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job claimed for a worker that does not come up goes back to QUEUED at no cost, and runs
    later (acceptance 70).
    """
    monkeypatch.setenv("SLOW_IMPORT_GATE", str(gate))
    with Server(tmp_path, jobs="support.crashing_import", workers=1) as server, server.client() as client:
        job = client.submit("crashing.noop")
        until(lambda: any(str(event.status) == "TO_BE_RUN" for event in job.events()), "it is claimed")
        until(lambda: len(list(job.events())) >= 3, "it is given back")
        assert [str(event.status) for event in job.events()][:3] == ["QUEUED", "TO_BE_RUN", "QUEUED"]
        gate.touch()
        assert [attempt.number for attempt in job.wait(30).attempts] == [1]


def test_server_without_workers(tmp_path: Path) -> None:
    """workers=0 takes jobs and runs none; the types say so."""
    with Server(tmp_path, workers=0) as server, server.client() as client:
        job = client.submit("test.noop")
        assert {found.instance_count for found in client.types()} == {0}
        assert job.stop().outcome == "STOPPED"


def test_settings_are_shown(client: Client) -> None:
    """GetServerInfo shows settings, limits and counters (acceptance 88)."""
    info = client.server_info()
    assert info.settings["workers"] == "2"
    assert info.limits["parameters_bytes"] == 1 << 20
    assert info.counters["slots"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "-1"], "workers"),
        (["--database-url", "mysql://x"], "database_url"),
        (["--address", "0.0.0.0:1"], "--insecure"),
        (["--address", "nonsense"], "host:port"),
        (["--worker-only"], "SQLite"),
        (["--worker-only", "--workers", "0", "--database-url", "postgresql://h/d"], "nothing to do"),
    ],
)
def test_bad_settings_are_named(arguments: list[str], said: str) -> None:
    """A setting that cannot be used is named in one line (acceptance 88)."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace_server", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_database_commands(tmp_path: Path) -> None:
    """`db upgrade` makes the schema, and can be repeated (acceptance 89)."""
    for _ in range(2):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "headrace_server",
                "db",
                "upgrade",
                "--database-url",
                f"sqlite:///{tmp_path}/x.db",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
