"""Several stores on one PostgreSQL database: no job twice, no deadlock, a log without a gap
(failure case 16).
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest
import pytest_asyncio
from contract.operations import SECOND, Clock, claim, finish, set_gate, stop, submission, submit
from contract.tables import connected
from contract.test_writer import describe
from sqlalchemy import Connection, text

from headrace_server.domain.change import Change
from headrace_server.domain.errors import ControlError, StaleClaim, StoreUnavailable
from headrace_server.domain.gate import Scope
from headrace_server.domain.job import Job
from headrace_server.domain.retention import Retention
from headrace_server.store import SqlStore, sql
from support.checker_bugs import CountingGates
from support.figures import figure, seed
from support.listeners import Recorder

pytestmark = [pytest.mark.only("postgresql"), pytest.mark.slow]

TAIL = text(
    "SELECT writer, seq, job_id, revision FROM unnest(CAST(:writers AS int[]), CAST(:seqs AS bigint[])) AS c (w, s) "
    "CROSS JOIN LATERAL (SELECT * FROM job_event WHERE writer = c.w AND seq > c.s ORDER BY seq LIMIT 500) AS e"
)

GAPS = text(
    "SELECT job_id FROM job JOIN job_event USING (job_id) GROUP BY job_id, job.revision HAVING count(*) <> job.revision"
)
WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
DEADLOCKS = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@pytest_asyncio.fixture
async def stores(url: str, clock: Clock) -> AsyncIterator[list[SqlStore]]:
    """Three stores on one database."""
    opened = [SqlStore.open(url, durable=False, clock=clock) for _ in range(3)]
    yield opened
    await asyncio.gather(*(store.close() for store in opened))


async def test_side_by_side_claims(stores: list[SqlStore]) -> None:
    """Stores that claim in the same moment share the queue out: every job goes to exactly one of
    them.
    """
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


class AtOnce:
    """Jobs that are worked off by several stores, and how many of them were held at once: by gate,
    and by gate and owner.
    """

    def __init__(self, jobs: Collection[Job]) -> None:
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._left = len(jobs)

    async def work(self, stores: list[SqlStore]) -> None:
        """Until no job is left."""
        async with asyncio.timeout(120):
            await asyncio.gather(*(self._work(store) for store in stores))

    async def _work(self, store: SqlStore) -> None:
        chance = random.Random(seed())
        mine: list[Job] = []
        while self._left:
            claimed = [one.job for one in await claim(store, chance.randint(1, 9), kinds=["t", "u"])]
            for job in claimed:
                self._count(job, 1)
            mine += claimed
            chance.shuffle(mine)
            ending, mine = mine[: len(mine) // 2 + 1], mine[len(mine) // 2 + 1 :]
            for job in (
                ending
            ):  # It counts no more from before its end is asked for: what is seen is never too much.
                self._count(job, -1)
            await asyncio.gather(*(finish(store, job, result="1") for job in ending))
            self._left -= len(ending)

    def _count(self, job: Job, more: int) -> None:
        for key in (f"queue:{job.queue}", f"tenant:{job.tenant}", f"type:{job.type}"):
            for name in (key, f"{key} {job.tenant} {job.owner}"):
                self._now[name] += more
                self.most[name] = max(self.most[name], self._now[name])


async def crowd(stores: list[SqlStore], count: int) -> AtOnce:
    """Many jobs of which some are limited."""
    made = await asyncio.gather(
        *(
            submit(
                stores[n % 3],
                queue=("limited", "limited", "free")[n % 3],
                tenant=f"t{n % 5}",
                kind="tu"[n % 2],
                owner=f"o{n % 7}",
            )
            for n in range(count)
        )
    )
    await set_gate(stores[0], Scope.QUEUE, "limited", max_running=5)
    await set_gate(stores[0], Scope.TENANT, "t0", max_running=3, max_running_per_owner=1)
    await set_gate(stores[0], Scope.TYPE, "u", max_running=7)
    return AtOnce(made)


async def test_limits_are_exact(stores: list[SqlStore]) -> None:
    """Stores that claim in the same moment never let more through together than a queue, a tenant,
    a type or an owner may run.
    """
    seen = await crowd(stores, figure(1500, 10_000))
    await seen.work(stores)
    print(f"most at once {seen.most.most_common(12)}")
    assert (seen.most["queue:limited"], seen.most["tenant:t0"], seen.most["type:u"]) == (5, 3, 7)
    assert max(count for name, count in seen.most.items() if name.startswith("tenant:t0 ")) == 1
    assert seen.most["queue:free"] > 5


async def test_a_limit_counted_in_the_lock_is_caught(stores: list[SqlStore]) -> None:
    """With the planted bug more run at once than the limit lets: the test above would see it."""
    for store in stores:
        store.gates = CountingGates()
    made = await asyncio.gather(*(submit(stores[0], owner=f"o{n}") for n in range(600)))
    await set_gate(stores[0], Scope.QUEUE, "default", max_running=5)
    seen = AtOnce(made)
    await seen.work(stores)
    print(f"most at once {seen.most['queue:default']}")
    assert seen.most["queue:default"] > 5


async def test_nobody_waits_for_a_gate(stores: list[SqlStore]) -> None:
    """While another holds a gate its lanes are left out, the others are served; whoever claims is
    told to ask again.
    """
    behind = await submit(stores[0], queue="limited", priority=9)
    free = await submit(stores[0])
    await set_gate(stores[0], Scope.QUEUE, "limited", max_running=5)
    told = asyncio.Event()
    stores[0].listeners.append(Recorder(opened=told.set))
    with stores[1]._engines.reads.connect() as other:
        other.exec_driver_sql("COMMIT; BEGIN READ WRITE; SELECT FROM gate FOR UPDATE")
        taken = await claim(stores[0], 2)
        assert [one.job.job_id for one in taken] == [free.job_id]
        await asyncio.wait_for(told.wait(), 10)
        other.rollback()
    assert [one.job.job_id for one in await claim(stores[0])] == [behind.job_id]


async def test_a_change_waits_for_claims_under_way(stores: list[SqlStore]) -> None:
    """A pause is answered when every claim that began before it has ended: behind the answer
    nothing more is claimed.
    """
    await submit(stores[0], queue="q")
    with stores[1]._engines.reads.connect() as other:
        sql.of(other).share_gates(other, wait=True)
        pausing = asyncio.ensure_future(set_gate(stores[0], Scope.QUEUE, "q", paused=True))
        while not other.execute(WAITING).scalar_one():  # noqa: ASYNC110 - the database knows
            await asyncio.sleep(0)
        assert not pausing.done()
        other.rollback()
    await pausing
    assert await claim(stores[2]) == []


async def test_one_request_id_from_all_sides(stores: list[SqlStore]) -> None:
    """One request_id submitted to several stores in the same moment makes one job, and all callers
    get it.
    """
    for number in range(figure(40, 400)):
        answers = await asyncio.gather(
            *(store.submit(submission(request_id=f"r{number}")) for store in stores for _ in range(2))
        )
        assert len({answer.job.job.job_id for answer in answers}) == 1
        assert sum(not answer.existing for answer in answers) == 1


async def test_one_of_all_sweeps(stores: list[SqlStore], clock: Clock) -> None:
    """Of stores that come to sweep in the same moment one does, the others let a period go by;
    every job goes once (acceptance 75).
    """
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

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor: dict[int, int] = {}
        self.seen: list[tuple[str, int]] = []

    def read(self) -> int:
        """What is new."""
        with self._connection.begin():
            for writer in self._connection.execute(text("SELECT writer FROM writer")).scalars():
                self._cursor.setdefault(writer, 0)
            given = {"writers": list(self._cursor), "seqs": list(self._cursor.values())}
            rows = self._connection.execute(TAIL, given).all()
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

    async def run(self) -> None:
        """All of it. Raises when work was refused for another reason than what it asked for."""
        await asyncio.gather(*(self._batches(store) for store in self._stores))

    async def _batches(self, store: SqlStore) -> None:
        for _ in range(figure(25, 400)):
            outcomes = await asyncio.gather(*(self._deed(store) for _ in range(30)), return_exceptions=True)
            wrong = [one for one in outcomes if isinstance(one, BaseException)]
            assert all(isinstance(one, ControlError | StaleClaim) for one in wrong), wrong
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


def seen_in_order(told: list[Change]) -> None:
    """Raise unless the events of each job were told in the order of their revisions."""
    last: dict[str, int] = {}
    for event in (event for change in told for event in change.events):
        assert event.revision > last.get(event.job_id, 0), "told in another order than committed"
        last[event.job_id] = event.revision


async def test_a_storm_of_batches(stores: list[SqlStore], url: str) -> None:
    """Random batches on the same jobs from all stores: no deadlock; each store tells a job's events
    in order, and a tail by (writer, seq) misses none.
    """
    told: list[list[Change]] = [[] for _ in stores]
    for store, heard in zip(stores, told, strict=True):
        store.listeners.append(Recorder(committed=heard.extend))
    jobs = await asyncio.gather(*(submit(stores[0]) for _ in range(40)))
    with connected(url) as reading:
        tail = Tail(reading)
        over = asyncio.Event()

        async def follow() -> None:
            while not over.is_set():
                await asyncio.to_thread(tail.read)

        following = asyncio.ensure_future(follow())
        await Storm(stores, [job.job_id for job in jobs]).run()
        over.set()
        await following
        while tail.read():
            pass
    for heard in told:
        seen_in_order(heard)
    with connected(url) as connection:
        logged = connection.execute(text("SELECT job_id, revision FROM job_event")).all()
        broken = connection.execute(GAPS).all()
        deadlocks = connection.execute(DEADLOCKS).scalar_one()
    print(f"{len(logged)} events, {deadlocks} deadlocks")
    assert Counter(tail.seen) == Counter(tuple(row) for row in logged)
    assert broken == []
    assert deadlocks == 0
