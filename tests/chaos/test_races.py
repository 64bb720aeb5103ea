"""A stop against everything that may happen in the same moment: whoever wins, there is one end, and
all agree on it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headrace import AsyncClient
from headrace.info import StopResult
from support import checker_journal
from support.figures import figure
from support.hunt import Hunt, ran, release
from support.phases import Doomed, Phase

pytestmark = pytest.mark.slow

ROUNDS = figure(1000, 10_000)
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


async def test_stop_against_finish(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop at the moment of the end has one outcome, which the job and its history bear out
    (failure case 23).
    """
    hunt = Hunt(client, tmp_path, ROUNDS)
    for _ in range(ROUNDS):
        job = await hunt.submit()
        await hunt.round(job, asyncio.sleep(0), lambda result: result.outcome == "ALREADY_FINISHED")
    hunt.check(server, "test_stop_against_finish")
    outcomes = Counter(str(result.outcome) for result in hunt.results)
    assert outcomes["ALREADY_FINISHED"] >= MET
    assert outcomes["STOPPED"] + outcomes["FINISHED_FIRST"] >= MET


async def test_stop_against_claim(server: Doomed, client: AsyncClient, tmp_path: Path) -> None:
    """A stop at the moment of the claim, with an idle worker: either no code has run, or it was
    stopped (failure case 4).
    """
    hunt = Hunt(client, tmp_path, ROUNDS)
    for _ in range(ROUNDS):
        job = await hunt.submit(hold=True)
        await hunt.round(job, release(job), ran)
    seen = hunt.check(server, "test_stop_against_claim")
    assert sum(count for moves, count in seen.items() if "RUNNING" not in moves) >= MET
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= MET


async def test_stop_against_claim_of_a_slot_that_falls_free(
    server: Doomed, client: AsyncClient, tmp_path: Path
) -> None:
    """A stop of a waiting job while the busy worker becomes free: it never runs, or it was stopped
    (failure case 4).

    A short job may wait in the worker's backlog with its permit, so what ran is what the job itself
    has written.
    """
    hunt = Hunt(client, tmp_path, ROUNDS)

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
    hunt = Hunt(client, tmp_path, ROUNDS)
    for _ in range(ROUNDS):
        job = await hunt.submit(hold=True)
        await hunt.round(job, release(job), ran)
    server.spare()
    seen = hunt.check(server, "test_stop_against_permit")
    assert seen[("PENDING", "QUEUED", "TO_BE_RUN", "ABORTED")] >= MET
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= MET
