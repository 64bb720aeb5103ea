"""Races between instances: two that claim one job, and a stop that comes to another than the one
that has the job.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headrace import AsyncClient
from support.figures import figure
from support.fleet import fleet
from support.hunt import Hunt, ran, release
from support.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(180, 7200))]

ROUNDS = figure(300, 10_000)
MET = ROUNDS // 30
"""How often each side has to win, or the race was none."""
LEASE = 10.0
"""Seconds: nobody dies here."""
JOBS = "support.jobs,support.chaos_jobs"


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, module_url: str
) -> Iterator[tuple[Server, Server, Server]]:
    """Two servers of one worker each, and one that runs nothing."""
    with fleet(tmp_path_factory.mktemp("races"), module_url) as made:
        given = {"lease_time": LEASE, "jobs": JOBS}
        one, two = (made.start(name, workers=1, **given) for name in ("one", "two"))
        yield one, two, made.start("none", workers=0, **given)


@pytest.fixture
async def clients(
    servers: tuple[Server, Server, Server], request: pytest.FixtureRequest
) -> AsyncIterator[list[AsyncClient]]:
    """A client of each, with a tenant of the test's own."""
    made = [AsyncClient(server.target, tenant=request.node.name) for server in servers]
    yield made
    for client in made:
        await client.close()


async def test_claim_by_two(
    servers: tuple[Server, Server, Server], clients: list[AsyncClient], tmp_path: Path
) -> None:
    """Two idle instances hear of a job in the same moment: exactly one runs it, and each wins its
    share (failure case 16).
    """
    hunt = Hunt(clients[2], tmp_path, 0)
    runs: Counter[str] = Counter()
    for _ in range(ROUNDS):
        ended = hunt.evidence.seen(await (await hunt.submit()).wait(30))
        assert ended.status == "SUCCEEDED"
        runs[ended.instance] += 1
    hunt.check(servers[2], "test_claim_by_two")
    print(runs)
    assert len(runs) == 2
    assert min(runs.values()) >= MET


async def test_stop_elsewhere_against_finish(
    servers: tuple[Server, Server, Server], clients: list[AsyncClient], tmp_path: Path
) -> None:
    """A stop on another instance at the moment of the end has one outcome, which the job and its
    history bear out (failure case 23).
    """
    hunt = Hunt(clients[0], tmp_path, ROUNDS, stopper=clients[2])
    for _ in range(ROUNDS):
        job = await hunt.submit()
        await hunt.round(job, asyncio.sleep(0), lambda result: result.outcome == "ALREADY_FINISHED")
    hunt.check(servers[2], "test_stop_elsewhere_against_finish")
    outcomes = Counter(str(result.outcome) for result in hunt.results)
    assert outcomes["ALREADY_FINISHED"] >= MET
    assert outcomes["STOPPED"] + outcomes["FINISHED_FIRST"] >= MET


async def test_stop_elsewhere_against_claim(
    servers: tuple[Server, Server, Server], clients: list[AsyncClient], tmp_path: Path
) -> None:
    """A stop on another instance at the moment of the claim: either no code has run, or it was
    stopped (failure case 23).
    """
    hunt = Hunt(clients[0], tmp_path, ROUNDS, stopper=clients[2])
    for _ in range(ROUNDS):
        job = await hunt.submit(hold=True)
        await hunt.round(job, release(job), ran)
    seen = hunt.check(servers[2], "test_stop_elsewhere_against_claim")
    assert sum(count for moves, count in seen.items() if "RUNNING" not in moves) >= MET
    assert sum(count for moves, count in seen.items() if "RUNNING" in moves) >= MET
