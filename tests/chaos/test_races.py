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
from support.history import check_job, check_runs, statuses, stop_phases
from support.phases import Doomed, Phase

pytestmark = pytest.mark.slow

ROUNDS = 150
ENDS = {"STOPPED": {"ABORTED"}, "FINISHED_FIRST": {"SUCCEEDED"}, "ALREADY_FINISHED": {"SUCCEEDED"}}


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

    def __init__(self, log: Path) -> None:
        self.log = log
        self.log.touch()
        self.delay = 0.002
        self.results: list[StopResult] = []

    async def round(
        self, job: AsyncJobHandle, against: Awaitable[object], late: Callable[[StopResult], bool]
    ) -> None:
        """Stop a job while `against` goes on; `late` says that the stop has lost the race."""
        _, result = await asyncio.gather(against, self._stop(job))
        self.results.append(result)
        self.delay = self.delay * 0.8 if late(result) else self.delay * 1.2 + 0.00005

    async def _stop(self, job: AsyncJobHandle) -> StopResult:
        await asyncio.sleep(self.delay)  # the race itself
        return await job.stop(wait_timeout=30)

    def check(self, server: Doomed, tenant: str) -> Counter[tuple[str, ...]]:
        """Check every round; answer how often each sequence of statuses came."""
        lines = self.log.read_text().splitlines()
        histories = {}
        with server.client(tenant=tenant) as client:
            for result in self.results:
                job, events = check_job(client, result.job.job_id)
                histories[job.job_id] = events
                assert result.job == job, "the answer is not the job as it stays"
                assert job.status in ENDS[result.outcome], f"{result.outcome} of a job that {job.status}"
                assert bool(stop_phases(events)) == (result.outcome != "ALREADY_FINISHED")
                assert job.status != "ABORTED" or (job.stop is not None and job.stop.confirmed)
                if "RUNNING" not in statuses(events):
                    assert not any(job.job_id in line for line in lines)
        assert len(histories) == len(self.results) == ROUNDS
        check_runs([line for line in lines if line.split()[1] in histories], histories)
        seen = Counter(tuple(statuses(events)) for events in histories.values())
        print("\n".join(f"{count:4} {' '.join(moves)}" for moves, count in seen.most_common()))
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
    hunt = Hunt(tmp_path / "log")
    for _ in range(ROUNDS):
        job = await client.submit("chaos.work", {"log": str(hunt.log)})
        await hunt.round(job, asyncio.sleep(0), lambda result: result.outcome == "ALREADY_FINISHED")
    hunt.check(server, "test_stop_against_finish")
    outcomes = Counter(str(result.outcome) for result in hunt.results)
    assert outcomes["ALREADY_FINISHED"] >= 5
    assert outcomes["STOPPED"] + outcomes["FINISHED_FIRST"] >= 5


async def test_stop_against_claim(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop at the moment of the claim, with an idle worker: either no code has run, or it was stopped (failure case 4)."""
    hunt = Hunt(tmp_path / "log")
    for _ in range(ROUNDS):
        job = await client.submit("chaos.work", {"log": str(hunt.log)}, hold=True)
        await hunt.round(job, release(job), ran)
    seen = hunt.check(server, "test_stop_against_claim")
    assert sum(count for moves, count in seen.items() if "RUNNING" not in moves) >= 5
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= 5


async def test_stop_against_claim_of_a_slot_that_falls_free(
    server: Doomed, client: AsyncClient, tmp_path: Path
) -> None:
    """A stop of a waiting job while the busy worker becomes free: it never runs, or it was stopped (failure case 4).

    A short job may wait in the worker's backlog with its permit, so what ran is what the job itself has written.
    """
    hunt = Hunt(tmp_path / "log")
    others = tmp_path / "others"

    def began(result: StopResult) -> bool:
        return result.job.job_id in hunt.log.read_text()

    for number in range(ROUNDS):
        gate = tmp_path / f"gate-{number}"
        before = await client.submit("chaos.work", {"log": str(others), "gate": str(gate)})
        job = await client.submit("chaos.work", {"log": str(hunt.log)})
        await hunt.round(job, asyncio.to_thread(gate.touch), began)
        assert (await before.wait(30)).status == "SUCCEEDED"
    hunt.check(server, "test_stop_against_claim_of_a_slot_that_falls_free")
    ran_first = sum(began(result) for result in hunt.results)
    assert 5 <= ran_first <= ROUNDS - 5


async def test_stop_against_permit(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop between claim and permit: the job never runs, or it was stopped (failure case 4)."""
    server.choose(Phase.APART)
    hunt = Hunt(tmp_path / "log")
    for _ in range(ROUNDS):
        job = await client.submit("chaos.work", {"log": str(hunt.log)}, hold=True)
        await hunt.round(job, release(job), ran)
    server.spare()
    seen = hunt.check(server, "test_stop_against_permit")
    assert seen[("PENDING", "QUEUED", "TO_BE_RUN", "ABORTED")] >= 5
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= 5
