"""Jobs that kill the process in which they run: each harms itself and nobody else."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from statistics import mean

import pytest

from headrace.info import Attempt
from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_report import Report
from support.checker_witness import Witness
from support.figures import LONG, figure, guard, seed
from support.server import Server, until

pytestmark = pytest.mark.slow

WORKERS = 4
JOBS = figure(500, 5000)
CAUSES = {
    "kill": "killed by signal 9 (SIGKILL)",
    "segfault": "killed by signal 11 (SIGSEGV)",
    "exit": "exited with code 3",
    "memory": "killed by signal 6 (SIGABRT)",
}
"""How a job ends its worker, and what its error then says."""
NOTICED_SECONDS = 1.0
BACK_SECONDS = 2.0
POISON_ATTEMPTS = 5
OTHERS = figure(300, 2000)
PAUSE = 0.01
"""Seconds that each of the others takes."""
SHARE = 0.8
TURNS = figure(1, 3)
"""Measured so often, the best of each taken: what else the machine does is no fault of the poison.
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of four workers."""
    server = Server(tmp_path, "support.chaos_jobs", workers=WORKERS).start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def witness(server: Server) -> Iterator[Witness]:
    """A client whose answers are kept."""
    with server.client(timeout=60) as client:
        yield Witness(Evidence(server.folder / "log"), client)


def test_workers_are_killed(server: Server, witness: Witness) -> None:
    """A tenth of the jobs end their worker: each is WORKER_LOST with the cause, no other is harmed,
    every slot is back (failure cases 2, 3, 5).
    """
    rng = random.Random(seed())
    ways = {}
    for number in range(JOBS):
        how = list(CAUSES)[number // 10 % len(CAUSES)] if number % 10 == 0 else ""
        ways[submit(witness, number, how, rng)] = how
    for job_id in ways:
        witness.wait(job_id, figure(60, 600))
    report = judge(witness.evidence, witness.client)
    for job_id, how in ways.items():
        job = report.jobs[job_id]
        if how:
            assert (job.status, len(job.attempts)) == ("FAILED", 1)
            assert job.error is not None
            assert job.error.kind == "WORKER_LOST"
            assert CAUSES[how] in job.error.message
        else:
            assert (job.status, job.result, len(job.attempts)) == ("SUCCEEDED", 1, 1), job.error
    assert report.by_error() == Counter({"WORKER_LOST": sum(map(bool, ways.values()))})
    noticed, back = deaths(report, witness.evidence)
    assert len(noticed) == sum(map(bool, ways.values()))
    assert len(back) >= JOBS // 20
    print(
        f"{len(noticed)} deaths were noticed after {max(noticed):.2f} s at most, {mean(noticed):.2f} s on average"
    )
    print(f"{len(back)} slots were back after {max(back):.2f} s at most, {mean(back):.2f} s on average")
    assert max(noticed) <= guard(NOTICED_SECONDS)
    assert max(back) <= guard(BACK_SECONDS)
    until(
        lambda: len(server.processes()) == 5 + WORKERS,
        "there are server, workers, the spare one, loader and the supervisors of those, no orphan",
    )


def submit(witness: Witness, number: int, how: str, rng: random.Random) -> str:
    """A job that ends its worker in this way, half of them with a process in a session of its own;
    or a harmless one.
    """
    if not how:
        return witness.submit(f"{number}", "chaos.quick", {"pause": rng.uniform(0, 0.02)}).job_id
    orphan = witness.evidence.log.with_name("orphans") if rng.random() < 0.5 else ""
    return witness.submit(f"{number} {how}", parameters={"how": how, "grandchild": str(orphan)}).job_id


def deaths(report: Report, evidence: Evidence) -> tuple[list[float], list[float]]:
    """Seconds from each death to the end of its attempt, and to the next start in its slot, where
    one followed.

    A job dies with its last line: what it does behind that takes no time worth mentioning.
    """
    marks = evidence.marks()
    by_slot: dict[str, list[tuple[datetime, Attempt, str]]] = {}
    for job in report.jobs.values():
        for attempt in job.attempts:
            assert attempt.start_time is not None
            by_slot.setdefault(attempt.worker, []).append((attempt.start_time, attempt, job.job_id))
    noticed, back = [], []
    for runs in by_slot.values():
        runs.sort(key=lambda run: run[0])
        for (_, attempt, job_id), following in zip_longest(runs, runs[1:]):
            if attempt.error is not None and attempt.end_time is not None:
                death = marks[job_id][-1].at
                noticed.append((attempt.end_time - death).total_seconds())
                if following is not None:
                    back.append((following[0] - death).total_seconds())
    return noticed, back


def test_poison(witness: Witness) -> None:
    """A job that kills its worker each time is FAILED after max_attempts kills, and others go on
    (failure case 30).
    """
    drain(witness, "warm up")
    alone, beside = [], []
    for turn in range(TURNS):
        alone.append(drain(witness, f"alone {turn}"))
        beside.append(drain(witness, f"beside poison {turn}", poisoned=True))
    report = judge(witness.evidence, witness.client)
    poisons = [job for job in report.jobs.values() if job.error is not None]
    for poison in poisons:
        assert (poison.status, len(poison.attempts)) == ("FAILED", POISON_ATTEMPTS)
        assert all(attempt.error and attempt.error.kind == "WORKER_LOST" for attempt in poison.attempts)
    assert len(poisons) == TURNS
    assert report.by_status()["SUCCEEDED"] == (1 + 2 * TURNS) * (OTHERS + WORKERS)
    share = min(alone) / min(beside)
    print(
        f"{OTHERS} jobs: {min(alone):.2f} s, beside poison {min(beside):.2f} s: {share:.0%} of the throughput"
    )
    if LONG:
        assert share >= SHARE


def drain(witness: Witness, name: str, *, poisoned: bool = False) -> float:
    """Seconds from the moment at which all slots become free to the last end of the jobs that wait,
    by the server.
    """
    gate = witness.evidence.log.with_name(f"gate of {name}")
    blocks = [
        witness.submit(f"{name}, block {number}", parameters={"gate": str(gate)}) for number in range(WORKERS)
    ]
    for block in blocks:
        until(lambda block=block: checker_journal.starts(witness.evidence.log, block.job_id), "it runs")
    if poisoned:
        poison = witness.submit(name, parameters={"how": "kill"}, attempts=POISON_ATTEMPTS, priority=1)
    others = [
        witness.submit(f"{name} {number}", "chaos.quick", {"pause": PAUSE}).job_id for number in range(OTHERS)
    ]
    gate.touch()
    begin = datetime.now(UTC)
    if poisoned:
        witness.wait(poison.job_id)
    ends = [witness.wait(job_id).end_time for job_id in others]
    return (max(end for end in ends if end is not None) - begin).total_seconds()
