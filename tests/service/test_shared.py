"""Jobs that share a worker, through a server: each stopped, timed out and failed for itself, and all
of them by one that does not let go.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, JobHandle, RetryPolicy
from support.server import Server, until

pytestmark = pytest.mark.slow

JOBS = "work.shared_jobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one worker."""
    with Server(tmp_path_factory.mktemp("shared"), jobs=JOBS, workers=1) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of it."""
    with server.client() as connected:
        yield connected


def gated(client: Client, folder: Path, name: str, attempts: int = 1) -> tuple[JobHandle, Path]:
    """A job that has begun, and waits for a gate of its own."""
    started, gate = folder / f"started-{name}", folder / f"gate-{name}"
    parameters = {"do": "gated", "started": str(started), "gate": str(gate)}
    job = client.submit("shared", parameters, retry_policy=RetryPolicy(max_attempts=attempts))
    until(started.exists, f"{name} has begun")
    return job, gate


def begun(
    client: Client, folder: Path, do: str, timeout: float | None = None, **parameters: Any
) -> JobHandle:
    """A job of another kind that has begun."""
    started = folder / f"started-{do}"
    given = {"do": do, "started": str(started), **parameters}
    job = client.submit("shared", given, attempt_timeout=timeout)
    until(started.exists, f"{do} has begun")
    return job


def test_ten_jobs_run_at_once_in_one_worker(client: Client, tmp_path: Path) -> None:
    """Ten jobs that wait for each other all end, in one process; ListJobTypes says how many may."""
    jobs = [
        client.submit("shared", {"do": "meet", "arrived": str(tmp_path / "a"), "count": 10})
        for _ in range(10)
    ]
    assert len({job.result(30) for job in jobs}) == 1
    assert {one.type: one.concurrency for one in client.types()} == {"shared": 10, "plain": 1}


def test_one_worker_is_filled_before_another(tmp_path: Path) -> None:
    """Jobs that share a worker leave the others to other types, as long as one worker takes them."""
    with Server(tmp_path, jobs=JOBS, workers=2) as server, server.client() as client:
        jobs = [gated(client, tmp_path, str(number)) for number in range(4)]
        plain = client.submit("plain").wait(30)
        assert plain.status == "SUCCEEDED"
        assert {job.refresh().worker for job, _gate in jobs} != {plain.worker}
        assert len({(tmp_path / f"started-{number}").read_text() for number in range(4)}) == 1
        for _job, gate in jobs:
            gate.touch()


def test_more_than_it_takes_wait(client: Client, tmp_path: Path) -> None:
    """With a concurrency of ten, the eleventh job waits in its queue; another type waits for the last."""
    jobs = [gated(client, tmp_path, str(number)) for number in range(10)]
    eleventh = client.submit(
        "shared", {"do": "gated", "started": str(tmp_path / "s"), "gate": str(jobs[0][1])}
    )
    other = client.submit("plain")
    jobs[0][1].touch()
    assert jobs[0][0].wait(30).status == "SUCCEEDED"
    assert eleventh.wait(30).status == "SUCCEEDED"
    assert other.refresh().status == "QUEUED"
    for _job, gate in jobs:
        gate.touch()
    assert other.wait(30).status == "SUCCEEDED"


def test_each_ends_for_itself(client: Client, tmp_path: Path) -> None:
    """One times out, one fails, one is stopped: each alone, with what it said, and the last goes on."""
    last, gate = gated(client, tmp_path, "last")
    failing = begun(client, tmp_path, "gated", gate=str(tmp_path / "fail"), how="fails")
    stopped = begun(client, tmp_path, "tidy", done=str(tmp_path / "done"))
    late = begun(client, tmp_path, "stubborn", swallows=0, timeout=0.2)
    error = late.wait(30).error
    assert error is not None
    assert error.kind == "TIMED_OUT"
    (tmp_path / "fail").touch()
    error = failing.wait(30).error
    assert error is not None
    assert error.message == "on purpose"
    result = stopped.stop(grace_period=60, wait_timeout=30)
    assert result.outcome == "STOPPED"
    assert result.job.stop is not None
    assert result.job.stop.confirmed
    assert last.refresh().status == "RUNNING"
    gate.touch()
    assert last.wait(30).status == "SUCCEEDED"


def test_one_that_blocks_the_loop_costs_the_others_an_attempt(
    server: Server, client: Client, tmp_path: Path
) -> None:
    """A job that blocks the loop and is stopped takes its worker along, after a grace: the others are
    named, are WORKER_LOST, and run again by their policy.
    """
    other, gate = gated(client, tmp_path, "other", attempts=2)
    blocker = begun(client, tmp_path, "blocker", gate=str(tmp_path / "never"))
    ended = blocker.stop(grace_period=0.1, wait_timeout=30).job
    assert ended.status == "ABORTED"
    assert ended.stop is not None
    assert ended.stop.confirmed
    gate.touch()
    again = other.wait(30)
    assert again.status == "SUCCEEDED"
    first, second = again.attempts
    assert first.error is not None
    assert first.error.kind == "WORKER_LOST"
    assert blocker.job_id in first.error.message
    assert second.error is None
    told = [entry["event"] for entry in server.logged("did not end in its grace")]
    assert any(other.job_id in event for event in told)


def test_the_others_are_told_why(client: Client, tmp_path: Path) -> None:
    """Those that share the worker with a job that swallows every cancellation are WORKER_LOST, by the
    name of that job.
    """
    tidy = begun(client, tmp_path, "tidy", done=str(tmp_path / "done"))
    stubborn = begun(client, tmp_path, "stubborn", swallows=1_000)
    assert stubborn.stop(grace_period=0.1, wait_timeout=30).job.status == "ABORTED"
    error = tidy.wait(30).error
    assert error is not None
    assert error.kind == "WORKER_LOST"
    assert stubborn.job_id in error.message


def test_a_worker_that_is_gone_is_said_of_each(client: Client, server: Server, tmp_path: Path) -> None:
    """os._exit in one job: each that was in the worker is WORKER_LOST, with the exit code."""
    other, _gate = gated(client, tmp_path, "other")
    it = begun(client, tmp_path, "gated", gate=str(tmp_path / "it"), how="ends_the_process")
    (tmp_path / "it").touch()
    for job in (other, it):
        error = job.wait(30).error
        assert error is not None
        assert (error.kind, error.message) == ("WORKER_LOST", "The worker process was exited with code 7.")
    told = {entry["job_id"] for entry in server.logged("worker lost: exited with code 7")}
    assert told == {other.job_id, it.job_id}


def test_a_server_that_ends_lets_them_end(tmp_path: Path) -> None:
    """A drain lets jobs that share a worker end by themselves, and ends the rest, each for itself."""
    with Server(tmp_path, jobs=JOBS, workers=1, drain_time=1) as server, server.client() as client:
        one, gate = gated(client, tmp_path, "one")
        rest = [
            begun(client, tmp_path, "tidy", done=str(tmp_path / "done")),
            begun(client, tmp_path, "stubborn", swallows=0),
        ]
        gate.touch()
        until(lambda: one.refresh().status == "SUCCEEDED", "the first has ended")
        assert server.stop() == 0
    with Server(tmp_path, jobs=JOBS, address=server.target, workers=0) as again, again.client() as client:
        for job in rest:
            error = client.get(job.job_id).error
            assert error is not None
            assert error.kind == "INSTANCE_DRAINED"
