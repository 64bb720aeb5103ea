"""What one instance is asked about a job that another has, or runs."""

import os
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headrace.errors import Unsupported
from headrace.info import Finished, JobEvent, Progress, Snapshot
from support.fleet import Fleet
from support.server import Server, until

pytestmark = pytest.mark.slow


def started(folder: Path, name: str = "note") -> tuple[str, Path]:
    """A file that a job writes to when it has begun."""
    note = folder / name
    return str(note), note


def pair(servers: Fleet) -> tuple[Server, Server]:
    """One that serves callers and runs nothing, and one that runs jobs."""
    return servers.start("api", workers=0), servers.start("worker")


def test_one_takes_the_job_another_runs_it(servers: Fleet) -> None:
    """An API-only instance submits, watches and waits; a worker elsewhere is woken and runs it at
    once (acceptance 63, 81).
    """
    api, worker = pair(servers)
    with api.client() as client:
        waits = []
        for _ in range(20):
            begun = time.monotonic()
            assert client.submit("test.echo", {"data": b"x"}).result(20) == {"data": b"x"}
            waits.append(time.monotonic() - begun)
        job = client.submit("test.report", {"total": 5})
        updates = list(job.watch(include_messages=True))
    events = [update for update in updates if isinstance(update, JobEvent)]
    first, last = updates[0], updates[-1]
    assert isinstance(first, Snapshot)
    assert isinstance(last, Finished)
    assert [event.revision for event in events] == list(range(first.job.revision + 1, last.job.revision + 1))
    assert updates[-1].job.status == "SUCCEEDED"
    assert f"-{worker.process.pid}-" in updates[-1].job.instance
    # A poll would take half a second on average; the best of twenty is no accident of it.
    assert sorted(waits)[len(waits) // 2] < 0.5


def test_a_worker_only_instance(servers: Fleet) -> None:
    """It runs jobs, refuses callers at once by a reason, and answers operators and balancers
    (acceptance 81).
    """
    api = servers.start("api", workers=0)
    worker = servers.start("worker", worker_only=True)
    with worker.client() as client:
        with pytest.raises(Unsupported, match="only runs jobs") as raised:
            client.submit("test.noop")
        assert raised.value.reason == "WORKER_ONLY"
        with pytest.raises(Unsupported, match="only runs jobs"):
            list(client.watch("nobody"))
        info = client.server_info()
        assert info.settings["worker_only"] == "True"
        assert info.counters["refused_worker_only_total"] > 1
        assert {each.address for each in client.instances() if each.live} == {api.target, worker.target}
    with grpc.insecure_channel(worker.target) as channel:
        listed = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest()).statuses
    assert {name for name, each in listed.items() if each.status == each.SERVING} == {
        "",
        "live",
        "headrace.v1.AdminService",
    }
    assert listed["headrace.v1.JobService"].status == health_pb2.HealthCheckResponse.NOT_SERVING
    with api.client() as client:
        last = list(client.submit("test.echo", {"n": 1}).watch())[-1]
    assert isinstance(last, Finished)
    assert last.job.status == "SUCCEEDED"
    assert f"-{worker.process.pid}-" in last.job.instance


def test_a_stop_reaches_the_instance_that_runs_the_job(servers: Fleet, tmp_path: Path) -> None:
    """StopJob on an instance that does not have the job: the flag is seen, the job ends ABORTED
    (acceptance 44).
    """
    api, _worker = pair(servers)
    name, note = started(tmp_path)
    with api.client() as client:
        job = client.submit("test.obedient", {"started": name})
        until(note.exists, "the job runs")
        stopped = job.stop(wait_timeout=20)
    assert stopped.outcome == "STOPPED"
    assert stopped.job.status == "ABORTED"
    assert stopped.job.stop is not None
    assert stopped.job.stop.confirmed


def test_a_kill_reaches_the_instance_that_runs_the_job(servers: Fleet, tmp_path: Path) -> None:
    """A job that ignores its stop is killed with its processes, asked from elsewhere (failure case
    4).
    """
    api, worker = pair(servers)
    name, note = started(tmp_path)
    with api.client() as client:
        job = client.submit("test.stubborn", {"started": name, "grandchild": str(tmp_path / "child")})
        until(note.exists, "the job runs")
        assert job.stop(grace_period=0, wait_timeout=20).job.status == "ABORTED"
    child = int((tmp_path / "child").read_text().split()[0])
    assert child not in worker.processes()
    assert not os.path.exists(f"/proc/{child}")  # noqa: PTH110 - a process


def test_progress_is_seen_from_elsewhere(servers: Fleet, tmp_path: Path) -> None:
    """A watch on another instance shows progress while the job runs."""
    api, _worker = pair(servers)
    gate = tmp_path / "gate"
    with api.client() as client:
        job = client.submit("test.report", {"gate": str(gate)}, hold=True)
        watch = job.watch()
        seen = [next(watch)]
        job.release()
        for update in watch:
            seen.append(update)
            if isinstance(update, Progress):
                gate.touch()
    assert any(isinstance(update, Progress) for update in seen)
