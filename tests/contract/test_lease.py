"""Leases between stores of one database: who is silent is dead to the others, and knows it before
them.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from contract.operations import LOST, Clock, now, submit
from contract.tables import connected
from contract.test_tail import reached
from sqlalchemy import text

from headrace_server.domain import running
from headrace_server.domain.change import Outcome
from headrace_server.domain.errors import StaleClaim
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports.claims import ClaimRequest, FreeSlot
from headrace_server.domain.ports.cluster import Instance, LifeListener
from headrace_server.store import SqlStore
from support.listeners import Deaths

pytestmark = pytest.mark.only("postgresql")

LEASE = 1.0


async def join(url: str, clock: Clock, name: str, life: LifeListener | None = None) -> SqlStore:
    """A store that has joined under this name."""
    store = SqlStore.open(url, durable=False, clock=clock)
    await store.join(Instance(name, clock(), {"workers": 1}), lease=LEASE, life=life or LifeListener())
    return store


@pytest.fixture
def deaths() -> Deaths:
    """What `here` is told."""
    return Deaths()


@pytest_asyncio.fixture
async def here(url: str, clock: Clock, deaths: Deaths) -> AsyncIterator[SqlStore]:
    """One."""
    store = await join(url, clock, "here", deaths)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def there(url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    """Another."""
    store = await join(url, clock, "there")
    yield store
    await store.close()


async def taken(store: SqlStore, *, permit: bool = True) -> Job:
    """A job that it has claimed."""
    await submit(store)
    (claimed,) = await store.claim(ClaimRequest(store.instance, [FreeSlot("w", permit)], frozenset("t")))
    return claimed.job


def fall_silent(store: SqlStore) -> None:
    """It beats no more, and goes on otherwise."""
    heartbeat = store._life._heartbeat
    assert heartbeat is not None
    heartbeat._end.set()
    heartbeat._thread.join()


async def live(store: SqlStore) -> dict[str, bool]:
    """Who lives, to one of them."""
    return {one.instance: one.live for one in await store.instances()}


async def died(store: SqlStore) -> None:
    """Wait until it holds the other for dead."""
    for _ in range(2000):
        if not (await live(store))["there"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the other is alive")


async def test_who_beats_is_alive(here: SqlStore, there: SqlStore) -> None:
    """Two that beat hold each other for alive for longer than the lease, and may run jobs
    (acceptance 66).
    """
    until = time.monotonic() + 2.5 * LEASE
    while time.monotonic() < until:
        assert here.valid()
        assert there.valid()
        assert await live(here) == {"here": True, "there": True}
        await asyncio.sleep(0.1)


async def test_who_is_silent_is_taken_over(here: SqlStore, there: SqlStore) -> None:
    """A silent one knows that it is dead before the others say so; then its jobs are settled by any
    of them (acceptance 67).
    """
    waiting, begun = await taken(there, permit=False), await taken(there)
    mine = await taken(here)
    fall_silent(there)
    assert there.valid()
    await died(here)
    assert not there.valid()
    assert await here.recover(LOST, confirmed=False) == 2
    assert (await now(here, waiting)).status is Status.QUEUED
    assert (await now(here, begun)).error == LOST
    assert (await now(here, mine)).status is Status.RUNNING
    assert await here.recover(LOST, confirmed=False) == 0


async def test_who_lives_for_less_than_a_lease_has_not_looked_in_vain(
    here: SqlStore, there: SqlStore, url: str, clock: Clock
) -> None:
    """A death is noticed though nobody lives as long as a lease: what one has seen, the next counts
    on (failure case 1).
    """
    fall_silent(there)
    fall_silent(here)
    lives = []
    for number in range(20):
        begun = time.monotonic()
        short = await join(url, clock, f"short-{number}")
        await asyncio.sleep(LEASE / 2)
        alive = (await live(short))["there"]
        await short.close()
        lives.append(time.monotonic() - begun)
        if not alive:
            break
    assert not alive
    assert len(lives) > 1


async def test_the_others_are_called_to_take_over(here: SqlStore, there: SqlStore, deaths: Deaths) -> None:
    """A death is told to those who live, within the lease and a little."""
    assert await live(here) == {"here": True, "there": True}
    deaths.times.clear()
    begun = time.monotonic()
    fall_silent(there)
    await reached(lambda: deaths.times, "it is told")
    assert deaths.times[0] - begun < 5 * 1.5 * LEASE


async def test_the_dead_claim_nothing(here: SqlStore, there: SqlStore) -> None:
    """A claim proves in its own transaction that its instance is alive; a write of a run that was
    taken over hits nothing (failure case 17).
    """
    job = await taken(there)
    fall_silent(there)
    await died(here)
    await here.recover(LOST, confirmed=False)
    await submit(here)
    asked = ClaimRequest("there", [FreeSlot("w", permit=True)], frozenset("t"))
    assert await there.claim(asked) == []
    with pytest.raises(StaleClaim):
        await there.apply(
            job.job_id,
            partial(running.finish, claim=job.claim, instance="there", outcome=Outcome(result="1")),
        )
    assert (await now(here, job)).status is Status.FAILED
    assert len(await here.claim(ClaimRequest("here", asked.slots, asked.types))) == 1


async def test_a_late_claim_of_the_dead_does_not_stay(
    here: SqlStore, there: SqlStore, deaths: Deaths, url: str
) -> None:
    """What a dead instance holds is looked for again and again, whatever was found before."""
    await submit(here)
    job = await taken(there)
    with connected(url) as other:
        other.execute(text("UPDATE instance SET state = 2 WHERE instance = 'there'"))
        other.commit()
    deaths.times.clear()
    await reached(lambda: deaths.times, "it is time to look")
    assert await here.recover(LOST, confirmed=False) == 1
    assert (await now(here, job)).status is Status.FAILED


async def test_who_is_said_to_be_dead_is_told(url: str, clock: Clock) -> None:
    """One whose row says that it is dead hears so once, runs nothing, and may join again as
    another.
    """
    store = SqlStore.open(url, durable=False, clock=clock)
    told: list[int] = []

    class Life(LifeListener):
        def lost(self) -> None:
            told.append(1)

    await store.join(Instance("first", clock(), {}), lease=LEASE, life=Life())
    with connected(url) as other:
        other.execute(text("UPDATE instance SET state = 2"))
        other.commit()
    await reached(lambda: told, "it is told")
    assert not store.valid()
    await store.join(Instance("second", clock(), {}), lease=LEASE)
    assert store.valid()
    assert store.instance == "second"
    assert await live(store) == {"second": True}
    assert told == [1]
    await store.close()


async def test_who_leaves_is_gone(here: SqlStore, url: str, clock: Clock) -> None:
    """One that is closed leaves no row, and what it still held is found at once."""
    other = await join(url, clock, "there")
    job = await taken(other)
    assert {one.instance: one.held for one in await here.instances()} == {"here": 0, "there": 1}
    await other.close()
    assert await live(here) == {"here": True}
    assert await here.recover(LOST, confirmed=False) == 1
    assert (await now(here, job)).status is Status.FAILED


async def test_a_new_life_clears_up_after_the_dead(here: SqlStore, url: str, clock: Clock) -> None:
    """A day later the rows of the dead go, with those that they needed to write; those of the
    living stay.
    """
    gone = await join(url, clock, "gone")
    await submit(gone)
    await gone.close()
    with connected(url) as other:
        other.execute(text("INSERT INTO instance VALUES ('dead', 2, 7, 1, '{}', 0, 0, :at)"), {"at": clock()})
        other.commit()
    clock.pass_time(25 * 3600)
    new = await join(url, clock, "new")
    assert await live(here) == {"here": True, "new": True}
    with connected(url) as other:
        owners = other.scalars(text("SELECT DISTINCT instance FROM writer ORDER BY 1")).all()
        strays = other.scalar(
            text("SELECT count(*) FROM batch WHERE writer NOT IN (SELECT writer FROM writer)")
        )
    assert owners == ["here", "new"]
    assert strays == 0
    await new.close()
