"""Workers that die, freeze or run out of memory, by real signals and limits: what it costs, and
whom.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import Client, JobHandle, RetryPolicy
from support.figures import LONG, SLACK, figure, guard
from support.server import Server, until

pytestmark = pytest.mark.slow

NEIGHBOURS = figure(60, 400)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one worker: what runs next is what was submitted next."""
    with Server(tmp_path_factory.mktemp("single"), workers=1) as running:
        yield running


def pid_of(client: Client) -> int:
    """The process of the one worker."""
    return int(client.submit("test.context").result(30)["pid"])


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that does nothing, for the length of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(
            lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it is frozen"
        )
        yield
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGCONT)


def moves(job: JobHandle) -> list[str]:
    """The statuses that a job has had."""
    return [str(event.status) for event in job.events() if event.kind in ("CREATED", "STATUS_CHANGED")]


def test_a_worker_killed_from_outside(tmp_path: Path) -> None:
    """SIGKILL of a worker, as by the kernel's OOM killer: noticed within 1 s, its slot refilled
    within 2 s, and the job beside it goes on (failure cases 2, 3).
    """
    with Server(tmp_path, workers=2) as server, server.client() as client:
        gate, first, second, third = (tmp_path / name for name in ("gate", "first", "second", "third"))
        beside = client.submit("test.hold", {"started": str(first), "gate": str(gate)})
        until(first.exists, "the job beside runs")
        victim = client.submit("test.hold", {"started": str(second), "gate": str(gate)})
        until(second.exists, "the victim runs")
        follower = client.submit("test.hold", {"started": str(third), "gate": str(gate)})
        os.kill(int(second.read_text()), signal.SIGKILL)
        killed = time.monotonic()
        lost = victim.wait(30)
        noticed = time.monotonic() - killed
        until(third.exists, "the next job runs in the slot")
        refilled = time.monotonic() - killed
        gate.touch()
        print(f"noticed after {noticed:.3f} s, refilled after {refilled:.3f} s")
        assert noticed < guard(1)
        assert refilled < guard(2)
        assert lost.error is not None
        assert (lost.error.kind, lost.error.message) == (
            "WORKER_LOST",
            "The worker process was killed by signal 9 (SIGKILL).",
        )
        assert follower.wait(30).worker == lost.worker
        ended = beside.wait(30)
        assert (ended.status, [attempt.error for attempt in ended.attempts]) == ("SUCCEEDED", [None])


def test_out_of_memory_by_a_limit(single: Server) -> None:
    """A job over RLIMIT_AS gets a MemoryError that fails it; its worker goes on (failure case 3)."""
    with single.client() as client:
        before = pid_of(client)
        ended = client.submit("test.memory").wait(30)
        assert ended.error is not None
        assert (ended.error.kind, ended.error.type) == ("EXCEPTION", "MemoryError")
        assert pid_of(client) == before


def test_jobs_that_wait_in_a_worker_lose_nothing(single: Server, tmp_path: Path) -> None:
    """Jobs handed ahead to a worker that dies are given back without cost: each ends well at its
    first attempt (failure case 3).
    """
    with single.client() as client:
        for job in [client.submit("test.die", {"how": "not"}) for _ in range(30)]:
            job.wait(30)  # so short a type is handed ahead
        gate = tmp_path / "gate"
        client.submit("test.hold", {"started": str(tmp_path / "started"), "gate": str(gate)})
        jobs = [client.submit("test.die", {"how": "not" if n % 8 else "exit"}) for n in range(40)]
        gate.touch()
        given_back = 0
        for number, job in enumerate(jobs):
            ended = job.wait(60)
            assert [attempt.number for attempt in ended.attempts] == [1]
            if number % 8:
                assert (ended.status, ended.error) == ("SUCCEEDED", None)
                given_back += "QUEUED" in moves(job)[2:]
            else:
                assert ended.error is not None
                assert ended.error.message == "The worker process was exited with code 3."
        print(f"{given_back} of {len(jobs)} waited in a worker that died")
        assert given_back


def test_a_stop_of_a_permitted_job(single: Server, tmp_path: Path) -> None:
    """A job that is RUNNING by its permit, and not begun by its frozen worker, is ABORTED at once
    and never runs (failure case 4).
    """
    note = tmp_path / "note"
    with single.client() as client:
        with frozen(pid_of(client)):
            job = client.submit("test.record", {"log": str(note)})
            until(lambda: job.refresh().status == "RUNNING", "its permit is on disk")
            result = job.stop(grace_period=3600)
            assert (result.outcome, result.job.status) == ("STOPPING", "RUNNING")
            ended = job.wait(30)
            assert ended.status == "ABORTED"
            assert ended.stop is not None
            assert ended.stop.confirmed
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"
        assert job.refresh() == ended
        assert not note.exists()


@pytest.mark.parametrize(
    ("grace", "outcome", "status"), [(3600, "FINISHED_FIRST", "SUCCEEDED"), (0, "STOPPED", "ABORTED")]
)
def test_a_stop_of_a_finishing_job(
    single: Server, tmp_path: Path, grace: float, outcome: str, status: str
) -> None:
    """A stop after the code has returned, while its worker clears up: it has ended first, or is
    killed; one outcome, and nothing stays on disk (failure case 4).
    """
    with single.client() as client:
        pid = pid_of(client)
        for number in range(10):
            note = tmp_path / f"note-{number}"
            job = client.submit("test.litter", {"returning": str(note), "files": 6_000})
            until(lambda note=note: note.exists() and note.read_text().endswith("\n"), "the code returns")
            folder = Path(note.read_text().strip())
            until(lambda folder=folder: not folder.exists(), "the workspace is being removed")
            with frozen(pid):
                finishing = folder.with_name(f"{folder.name}.bin").exists()
                before = job.refresh().status
                asked = job.stop(grace_period=grace)
            if not finishing:
                continue  # it was quicker
            assert before == "RUNNING"
            ended = job.wait(30)
            assert (ended.status, str(asked.outcome)) in {(status, "STOPPING"), (status, outcome)}
            assert moves(job).count(status) == 1
            assert job.stop().outcome == "ALREADY_FINISHED"
            assert job.refresh() == ended
            until(
                lambda folder=folder: not folder.with_name(f"{folder.name}.bin").exists(),
                "the rest is removed",
            )
            return
        raise AssertionError("no job was caught while it was finishing")


def test_a_poison_job(tmp_path: Path) -> None:
    """A job that kills its worker at each attempt is FAILED after max_attempts kills; others keep
    80 % of their throughput (failure case 30).
    """
    with Server(tmp_path, workers=2) as server, server.client() as client:
        for job in [client.submit("test.pause") for _ in range(20)]:
            job.wait(30)
        alone = throughput(client)
        policy = RetryPolicy(max_attempts=3, initial_backoff=timedelta(milliseconds=50))
        poison = client.submit("test.die", {"how": "kill"}, retry_policy=policy, priority=1)
        beside = throughput(client)
        ended = poison.wait(30)
        print(f"{alone:.0f} jobs a second alone, {beside:.0f} beside poison")
        assert (ended.status, len(ended.attempts)) == ("FAILED", 3)
        assert {str(attempt.error.kind) for attempt in ended.attempts if attempt.error} == {"WORKER_LOST"}
        assert beside > alone * 0.8 / (1 if LONG else SLACK)


def throughput(client: Client) -> float:
    """Jobs a second, each of which takes 20 ms."""
    began = time.monotonic()
    for job in [client.submit("test.pause") for _ in range(NEIGHBOURS)]:
        ended = job.wait(60)
        assert (ended.status, len(ended.attempts)) == ("SUCCEEDED", 1)
    return NEIGHBOURS / (time.monotonic() - began)
