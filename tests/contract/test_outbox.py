"""The outbox: what is to be broadcast is written with its event, and stays until it is taken away."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from contract.operations import Clock, claim, end, finish, run, stop, submission, submit
from contract.tables import connected
from contract.test_lease import LEASE
from sqlalchemy import text

from headrace_server.domain import requests, running
from headrace_server.domain.broadcast import DEFAULT_KINDS, Broadcast
from headrace_server.domain.change import Message
from headrace_server.domain.errors import EtagMismatch
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import Job
from headrace_server.domain.ports.cluster import Instance
from headrace_server.store import SqlStore


@pytest_asyncio.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    """A store whose events are broadcast."""
    opened = SqlStore.open(url, durable=False, clock=clock, broadcast=DEFAULT_KINDS)
    yield opened
    await opened.close()


async def unsent(store: SqlStore, *, after: int = 0, parked: bool = False) -> list[Broadcast]:
    """A page of the outbox."""
    return list((await store.unsent(after=after, parked=parked, limit=1000)).broadcasts)


async def say(store: SqlStore, job: Job, *texts: str) -> None:
    """The job's code says something."""
    messages = [Message(1, 1, text) for text in texts]
    said = partial(
        running.log, claim=job.claim, instance=job.instance, messages=messages, limit=100, dropped=0
    )
    await store.apply(job.job_id, said)


async def test_every_event_of_the_kinds_asked_for_is_put_out(store: SqlStore) -> None:
    """The outbox has each event of a broadcast kind as the log has it, in order, and none of
    another kind (acceptance 76, 77).
    """
    job = await run(store)
    await say(store, job, "one", "two")
    await finish(store, job)
    logged = await store.events(job.job_id, after=0, limit=100)
    put_out = await unsent(store)
    assert [one.event for one in put_out] == [event for event in logged if event.kind in DEFAULT_KINDS]
    assert EventKind.MESSAGE_LOGGED in {event.kind for event in logged}


async def test_each_names_the_one_before_it(store: SqlStore) -> None:
    """Previous is the job's last revision of a broadcast kind, over other kinds, transactions and
    deletions (invariant I4).
    """
    job = await run(store)
    await say(store, job, "one", "two", "three")
    await stop(store, job)
    await finish(store, job, aborted=True)
    revisions = [one.event.revision for one in await unsent(store)]
    assert [one.previous for one in await unsent(store)] == [0, *revisions[:-1]]
    await store.settle([one.place for one in await unsent(store)], [])
    assert await unsent(store) == []
    other = await submit(store)
    await store.apply(other.job_id, partial(requests.update, fields={"priority": 3}, etag=""))
    await claim(store)
    first, second, *_ = await unsent(store)
    assert [(one.previous, one.event.revision) for one in (first, second)] == [(0, 1), (1, 3)]


async def test_it_is_true_with_its_event_or_not_at_all(store: SqlStore) -> None:
    """What is refused, and what is rolled back, puts nothing out."""
    job = await end(store)
    before = await unsent(store)
    with pytest.raises(EtagMismatch):
        await store.apply(job.job_id, partial(requests.update, fields={"locked": True}, etag="stale"))
    with pytest.raises(Exception, match=r"surrogates|utf"):
        await store.submit(submission(description="\ud800"))
    assert await unsent(store) == before


async def test_it_outlives_its_job(store: SqlStore) -> None:
    """A job may be deleted while its events wait: they are whole."""
    job = await end(store)
    before = await unsent(store)
    await store.delete(job.job_id, tenant="default")
    assert await unsent(store) == before
    assert before[-1].event.status.final


async def test_pages_never_part_a_job(store: SqlStore) -> None:
    """Of each job on a page every broadcast is read, however far behind it stands; pages come to an
    end.
    """
    job = await submit(store, hold=True)
    await asyncio.gather(*(submit(store) for _ in range(10)))
    await store.apply(job.job_id, requests.release)
    first = await store.unsent(after=0, parked=False, limit=10)
    assert [one.event.revision for one in first.broadcasts if one.event.job_id == job.job_id] == [1, 2]
    assert first.end is not None
    second = await store.unsent(after=first.end, parked=False, limit=10)
    assert len({one.place for one in [*first.broadcasts, *second.broadcasts]}) == 12
    assert second.end is not None
    assert await store.unsent(after=second.end, parked=False, limit=10) == type(first)((), None)


async def test_parameters_and_results_go_with_events_where_asked_for(url: str, clock: Clock) -> None:
    """Parameters are beside the creation and results beside the end, up to a size."""
    store = SqlStore.open(url, durable=False, clock=clock, broadcast=DEFAULT_KINDS, payload_bytes=100)
    job = await run(store, parameters='{"a":"é"}')
    for name, value in (("", '{"x":1}'), ('"b"', "2")):
        keep = partial(running.set_result, claim=job.claim, instance=job.instance, name=name, value=value)
        await store.apply(job.job_id, keep)
    await finish(store, job)
    for parameters in ("{}", f'{{"a":"{"é" * 50}"}}'):
        await submit(store, parameters=parameters)
    assert [one.payload for one in await unsent(store) if one.event.job_id == job.job_id] == [
        '{"a":"é"}', None, None, '{"":{"x":1},"\\"b\\"":2}',
    ]  # fmt: skip
    assert [one.payload for one in await unsent(store) if one.event.job_id != job.job_id] == ["{}", None]
    await store.close()


async def test_the_trace_goes_with_every_event(store: SqlStore) -> None:
    """Each event of a job is put out with the trace that the job belongs to."""
    await end(store, traceparent="00-1-2-01")
    await submit(store)
    assert [one.traceparent for one in await unsent(store)] == [*["00-1-2-01"] * 4, ""]


async def test_what_no_queue_wants_is_set_aside(store: SqlStore) -> None:
    """What was parked is counted and found by itself, together with what came behind it (failure
    case 15).
    """
    job = await run(store)
    other = await submit(store, "other")
    mine = [one for one in await unsent(store) if one.event.job_id == job.job_id]
    await store.settle([], [one.place for one in mine])
    backlog = await store.backlog()
    assert (backlog.pending, backlog.parked, backlog.at_least) == (1, len(mine), False)
    assert backlog.oldest == mine[0].event.at
    assert [one.event.job_id for one in await unsent(store)] == [other.job_id]
    await finish(store, job)
    assert [one.parked for one in await unsent(store) if one.event.job_id == job.job_id] == [
        *(True for _ in mine), False,
    ]  # fmt: skip
    assert len(await unsent(store, parked=True)) == len(mine) + 1


async def test_without_a_broker_nothing_is_put_out(url: str, clock: Clock) -> None:
    """A store that was not told to broadcast writes no outbox."""
    store = SqlStore.open(url, durable=False, clock=clock)
    await end(store)
    assert await unsent(store) == []
    await store.close()


async def test_one_who_is_alone_leads(store: SqlStore) -> None:
    """An instance that no other can be beside leads as soon as it wants to."""
    await store.join(Instance("here", 1, {}), lease=None)
    assert await store.try_lead(want=True)
    assert not await store.try_lead(want=False)


@pytest.mark.only("postgresql")
async def test_one_leads(url: str, clock: Clock) -> None:
    """Of several instances one leads, until it gives it up, leaves, or is dead; then another does."""
    stores = [SqlStore.open(url, durable=False, clock=clock, broadcast=DEFAULT_KINDS) for _ in range(3)]
    for number, store in enumerate(stores):
        await store.join(Instance(f"instance-{number}", clock(), {}), lease=LEASE)
    one, two, three = stores
    assert [await store.try_lead(want=True) for store in stores] == [True, False, False]
    assert not await two.try_lead(want=False)
    assert not await three.try_lead(want=True), "who does not lead has nothing to give up"
    assert not await one.try_lead(want=False)
    assert [await store.try_lead(want=True) for store in (two, one, two)] == [True, False, True]
    await two.close()
    assert [await store.try_lead(want=True) for store in (three, one)] == [True, False]
    with connected(url) as connection:
        connection.execute(text("UPDATE instance SET state = 2 WHERE instance = 'instance-2'"))
        connection.commit()
    assert [await store.try_lead(want=True) for store in (one, three)] == [True, False]
    await one.close()
    await three.close()
