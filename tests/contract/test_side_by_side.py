"""Several stores on one PostgreSQL database: no job twice, no deadlock, a log without a gap (failure case 16)."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from contract.deeds import SECOND, Clock, claim, finish, stop, submission, submit
from contract.test_writer import describe
from sqlalchemy import text

from headrace_server.domain.change import Change
from headrace_server.domain.errors import ControlError, Replaced, StoreUnavailable
from headrace_server.domain.retention import Retention
from headrace_server.store import SqlStore
from support.figures import figure, seed

pytestmark = pytest.mark.only("postgresql")

TAIL = text(
    "SELECT writer, seq, job_id, revision FROM unnest(CAST(:writers AS int[]), CAST(:seqs AS bigint[])) AS c (w, s) "
    "CROSS JOIN LATERAL (SELECT * FROM job_event WHERE writer = c.w AND seq > c.s ORDER BY seq LIMIT 500) AS e"
)

GAPS = text(
    "SELECT job_id FROM job JOIN job_event USING (job_id) GROUP BY job_id, job.revision HAVING count(*) <> job.revision"
)
DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@pytest_asyncio.fixture
async def stores(url: str, clock: Clock) -> AsyncIterator[list[SqlStore]]:
    """Three stores on one database."""
    opened = [SqlStore.open(url, durable=False, clock=clock) for _ in range(3)]
    yield opened
    await asyncio.gather(*(store.close() for store in opened))


async def test_side_by_side_claims(stores: list[SqlStore]) -> None:
    """Stores that claim in the same moment share the queue out: every job goes to exactly one of them."""
    made = await asyncio.gather(
        *(submit(stores[0], tenant=f"t{n % 7}", kind="tu"[n % 2]) for n in range(300))
    )
    taken: Counter[str] = Counter()

    async def take(store: SqlStore) -> int:
        count = 0
        while sum(taken.values()) < len(made):
            claimed = await claim(store, random.randint(1, 9), kinds=["t", "u"])
            taken.update(one.job.job_id for one in claimed)
            count += len(claimed)
        return count

    async with asyncio.timeout(60):
        shares = await asyncio.gather(*(take(store) for store in stores))
    print(f"shares {shares}")
    assert taken == Counter(job.job_id for job in made)


async def test_one_request_id_from_all_sides(stores: list[SqlStore]) -> None:
    """One request_id submitted to several stores in the same moment makes one job, and all callers get it."""
    for number in range(figure(40, 400)):
        answers = await asyncio.gather(
            *(store.submit(submission(request_id=f"r{number}")) for store in stores for _ in range(2))
        )
        assert len({answer.job.job.job_id for answer in answers}) == 1
        assert sum(not answer.existing for answer in answers) == 1


async def test_one_of_all_sweeps(stores: list[SqlStore], clock: Clock) -> None:
    """Of stores that come to sweep in the same moment one does, the others let a period go by; every job goes once (acceptance 75)."""
    soon = Retention(None, None, SECOND)
    turns = dict.fromkeys(range(len(stores)), 0)
    for _ in range(figure(20, 200)):
        jobs = await asyncio.gather(*(submit(stores[0], hold=True) for _ in range(9)))
        await asyncio.gather(*(stop(stores[0], job) for job in jobs))
        clock.pass_time(2)
        swept = await asyncio.gather(*(store.sweep(soon, turns[place]) for place, store in enumerate(stores)))
        assert sorted(one.jobs for one in swept) == [0, 0, 9], swept
        # Those that were too late look once more, with nothing to delete, and know the turn again.
        for place, store in enumerate(stores):
            turns[place] = (await store.sweep(soon, swept[place].turn)).turn
    assert len(set(turns.values())) == 1


class Tail:
    """Who follows the log from its beginning, by a cursor of one seq for each writer."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._cursor: dict[int, int] = {}
        self.seen: list[tuple[str, int]] = []

    def read(self) -> int:
        """What is new."""
        with self._store._reads.begin() as connection:
            for writer in connection.execute(text("SELECT writer FROM writer")).scalars():
                self._cursor.setdefault(writer, 0)
            given = {"writers": list(self._cursor), "seqs": list(self._cursor.values())}
            rows = connection.execute(TAIL, given).all()
        for writer, seq, job_id, revision in rows:
            assert seq == self._cursor[writer] + 1, (
                f"writer {writer} goes from {self._cursor[writer]} to {seq}"
            )
            self._cursor[writer] = seq
            self.seen.append((job_id, revision))
        return len(rows)


class Storm:
    """Random work on the same jobs from several stores."""

    def __init__(self, stores: list[SqlStore], jobs: list[str]) -> None:
        self._stores = stores
        self._jobs = jobs
        self._chance = random.Random(seed())

    async def rage(self) -> None:
        """All of it. Raises when work was refused for another reason than what it asked for."""
        await asyncio.gather(*(self._batches(store) for store in self._stores))

    async def _batches(self, store: SqlStore) -> None:
        for _ in range(figure(25, 400)):
            outcomes = await asyncio.gather(*(self._deed(store) for _ in range(30)), return_exceptions=True)
            wrong = [one for one in outcomes if isinstance(one, BaseException)]
            assert all(isinstance(one, ControlError | Replaced) for one in wrong), wrong
            assert not any(isinstance(one, StoreUnavailable) for one in wrong), wrong

    def _deed(self, store: SqlStore) -> Any:
        kind = self._chance.random()
        if kind < 0.7:
            return store.apply(self._chance.choice(self._jobs), describe(str(kind)))
        if kind < 0.8:
            return submit(store, request_id=f"r{self._chance.randrange(50)}")
        return self._run(store) if kind < 0.95 else store.run_timers()

    async def _run(self, store: SqlStore) -> None:
        for taken in await claim(store, 2):
            if self._chance.random() < 0.5:
                await stop(store, taken.job)
            await finish(store, taken.job, result="1")


def told_in_order(told: list[Change]) -> None:
    """Raise unless the events of each job were told in the order of their revisions."""
    last: dict[str, int] = {}
    for event in (event for change in told for event in change.events):
        assert event.revision > last.get(event.job_id, 0), "told in another order than committed"
        last[event.job_id] = event.revision


async def test_a_storm_of_batches(stores: list[SqlStore]) -> None:
    """Random batches on the same jobs from all stores: no deadlock; each store tells a job's events in order, and a tail by (writer, seq) misses none."""
    told: list[list[Change]] = [[] for _ in stores]
    for store, heard in zip(stores, told, strict=True):
        store.on_commit = heard.extend
    jobs = await asyncio.gather(*(submit(stores[0]) for _ in range(40)))
    tail = Tail(stores[0])
    over = asyncio.Event()

    async def follow() -> None:
        while not over.is_set():
            await asyncio.to_thread(tail.read)

    following = asyncio.ensure_future(follow())
    await Storm(stores, [job.job_id for job in jobs]).rage()
    over.set()
    await following
    while tail.read():
        pass
    for heard in told:
        told_in_order(heard)
    with stores[0]._reads.begin() as connection:
        logged = connection.execute(text("SELECT job_id, revision FROM job_event")).all()
        broken = connection.execute(GAPS).all()
        deadlocks = connection.execute(DEADLOCKS).scalar_one()
    print(f"{len(logged)} events, {deadlocks} deadlocks")
    assert Counter(tail.seen) == Counter(tuple(row) for row in logged)
    assert broken == []
    assert deadlocks == 0
