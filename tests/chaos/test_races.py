"""A stop against everything that may happen in the same moment: whoever wins, there is one end, and all agree on it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from headrace import AsyncClient
from headrace.aio import AsyncJobHandle
from headrace.errors import WrongStatus
from headrace.info import StopResult
from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.figures import figure
from support.history import statuses, stop_phases
from support.phases import Doomed, Phase

pytestmark = pytest.mark.slow

ROUNDS = figure(1000, 10_000)
ENDS = {"STOPPED": {"ABORTED"}, "FINISHED_FIRST": {"SUCCEEDED"}, "ALREADY_FINISHED": {"SUCCEEDED"}}
GRACE = 10.0
MET = ROUNDS // 30
"""How often each side has to win, or the race was none."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doomed]:
    """A server of one worker."""
    server = Doomed(tmp_path_factory.mktemp("races"), workers=1).start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def client(server: Doomed, request: pytest.FixtureRequest) -> AsyncIterator[AsyncClient]:
    """A client with a tenant of its own."""
    async with AsyncClient(server.target, tenant=request.node.name) as client:
        yield client


class Hunt:
    """Rounds of a race. The stop's delay is moved towards the other side of the race after each round."""

    def __init__(self, client: AsyncClient, folder: Path) -> None:
        self.evidence = Evidence(folder / "log")
        self.delay = 0.002
        self.results: list[StopResult] = []
        self._client = client

    async def submit(self, *, hold: bool = False, gate: Path | None = None) -> AsyncJobHandle:
        """Submit a job of the race; with a gate, one that stands before it."""
        request = f"{self.evidence.log} {len(self.evidence.submits)}"
        job = await self._client.submit(
            "chaos.work",
            {"log": str(self.evidence.log), "gate": str(gate or "")},
            request_id=request,
            description=request,
            hold=hold,
        )
        self.evidence.submitted(request, job.job_id)
        return job

    async def round(
        self, job: AsyncJobHandle, against: Awaitable[object], late: Callable[[StopResult], bool]
    ) -> None:
        """Stop a job while `against` goes on; `late` says that the stop has lost the race."""
        _, result = await asyncio.gather(against, self._stop(job))
        self.results.append(result)
        self.delay = self.delay * 0.8 if late(result) else self.delay * 1.2 + 0.00005

    async def _stop(self, job: AsyncJobHandle) -> StopResult:
        await asyncio.sleep(self.delay)  # the race itself
        return self.evidence.stopped(GRACE, await job.stop(grace_period=GRACE, wait_timeout=30))

    def check(self, server: Doomed, tenant: str) -> Counter[tuple[str, ...]]:
        """Check every round; answer how often each sequence of statuses came."""
        with server.client(tenant=tenant) as client:
            report = judge(self.evidence, client)
        assert len(self.results) == ROUNDS
        for result in self.results:
            job, events = report.jobs[result.job.job_id], report.histories[result.job.job_id]
            assert job.status in ENDS[result.outcome], f"{result.outcome} of a job that {job.status}"
            assert bool(stop_phases(events)) == (result.outcome != "ALREADY_FINISHED")
        stopped = {result.job.job_id for result in self.results}
        seen = Counter(
            tuple(statuses(events)) for job_id, events in report.histories.items() if job_id in stopped
        )
        print("\n".join(f"{count:6} {' '.join(moves)}" for moves, count in seen.most_common()))
        return seen


async def release(job: AsyncJobHandle) -> None:
    """Queue a held job; the stop may have come first."""
    with suppress(WrongStatus):
        await job.queue()


def ran(result: StopResult) -> bool:
    """Whether the job had got its permit before the stop came."""
    return bool(result.job.attempts)


async def test_stop_against_finish(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop at the moment of the end has one outcome, which the job and its history bear out (failure case 23)."""
    hunt = Hunt(client, tmp_path)
    for _ in range(ROUNDS):
        job = await hunt.submit()
        await hunt.round(job, asyncio.sleep(0), lambda result: result.outcome == "ALREADY_FINISHED")
    hunt.check(server, "test_stop_against_finish")
    outcomes = Counter(str(result.outcome) for result in hunt.results)
    assert outcomes["ALREADY_FINISHED"] >= MET
    assert outcomes["STOPPED"] + outcomes["FINISHED_FIRST"] >= MET


async def test_stop_against_claim(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop at the moment of the claim, with an idle worker: either no code has run, or it was stopped (failure case 4)."""
    hunt = Hunt(client, tmp_path)
    for _ in range(ROUNDS):
        job = await hunt.submit(hold=True)
        await hunt.round(job, release(job), ran)
    seen = hunt.check(server, "test_stop_against_claim")
    assert sum(count for moves, count in seen.items() if "RUNNING" not in moves) >= MET
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= MET


async def test_stop_against_claim_of_a_slot_that_falls_free(
    server: Doomed, client: AsyncClient, tmp_path: Path
) -> None:
    """A stop of a waiting job while the busy worker becomes free: it never runs, or it was stopped (failure case 4).

    A short job may wait in the worker's backlog with its permit, so what ran is what the job itself has written.
    """
    hunt = Hunt(client, tmp_path)

    def began(result: StopResult) -> bool:
        return bool(checker_journal.starts(hunt.evidence.log, result.job.job_id))

    for number in range(ROUNDS):
        gate = tmp_path / f"gate-{number}"
        before = await hunt.submit(gate=gate)
        job = await hunt.submit()
        await hunt.round(job, asyncio.to_thread(gate.touch), began)
        ended = hunt.evidence.seen(await before.wait(30))
        assert ended.status == "SUCCEEDED"
    hunt.check(server, "test_stop_against_claim_of_a_slot_that_falls_free")
    ran_first = sum(began(result) for result in hunt.results)
    assert MET <= ran_first <= ROUNDS - MET


async def test_stop_against_permit(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop between claim and permit: the job never runs, or it was stopped (failure case 4)."""
    server.choose(Phase.APART)
    hunt = Hunt(client, tmp_path)
    for _ in range(ROUNDS):
        job = await hunt.submit(hold=True)
        await hunt.round(job, release(job), ran)
    server.spare()
    seen = hunt.check(server, "test_stop_against_permit")
    assert seen[("PENDING", "QUEUED", "TO_BE_RUN", "ABORTED")] >= MET
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= MET
