"""The tail: what other stores commit is told once, in the order of each writer, however late it is
committed.
"""

import asyncio
import logging
import os
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
import pytest_asyncio
from contract.operations import INSTANCE, Clock, end, now, stop, submit
from contract.tables import connected
from sqlalchemy import text

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Status
from headrace_server.domain.ports.cluster import Instance
from headrace_server.store import SqlStore
from support.listeners import Recorder

pytestmark = pytest.mark.only("postgresql")

OPEN_WRITER = text("INSERT INTO writer (start_time, instance) VALUES (0, 'late') RETURNING writer")
LATE_EVENT = text(
    "INSERT INTO job_event (job_id, revision, writer, seq, kind, at, attempt, status) "
    "VALUES (:job, :revision, :writer, :seq, 6, 0, 0, 2)"
)


async def reached(fact: Callable[[], Any], what: str, limit: float = 20) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + limit
    while not fact():
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what}"
        await asyncio.sleep(0.005)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """This process has all descriptors below 1024 in use, as a server with a thousand callers has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    while opened[-1] < 1024:
        opened.append(os.dup(opened[0]))
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest_asyncio.fixture
async def stores(url: str, clock: Clock) -> AsyncIterator[list[SqlStore]]:
    """Three that have joined."""
    opened = [SqlStore.open(url, durable=False, clock=clock) for _ in range(3)]
    for name, store in zip((INSTANCE, "there", "elsewhere"), opened, strict=True):
        await store.join(Instance(name, clock(), {"workers": 1}), lease=10)
    yield opened
    await asyncio.gather(*(store.close() for store in opened))


@pytest.fixture
def heard(stores: list[SqlStore]) -> list[list[Event]]:
    """What each is told of the others."""
    told: list[list[Event]] = [[] for _ in stores]
    for events, store in zip(told, stores, strict=True):

        def hear(new: Sequence[Event], events: list[Event] = events) -> None:
            events += new

        store.listeners.append(Recorder(overheard=hear))
    return told


async def test_everything_of_the_others_is_told_once(
    stores: list[SqlStore], heard: list[list[Event]]
) -> None:
    """Three stores change the same jobs at once: each hears every event of the others and none of
    its own, none twice.
    """
    own: list[list[Event]] = [[] for _ in stores]
    for events, store in zip(own, stores, strict=True):

        def committed(changes: Sequence[Change], events: list[Event] = events) -> None:
            events.extend(event for change in changes for event in change.events)

        store.listeners.append(Recorder(committed=committed))

    async def live(store: SqlStore, other: SqlStore) -> None:
        for _ in range(40):
            job = await submit(store)
            await stop(other, job)

    first, second, third = stores
    await asyncio.gather(live(first, second), live(second, third), live(third, first))
    every = {(event.job_id, event.revision) for events in own for event in events}
    for told, mine in zip(heard, own, strict=True):
        wanted = every - {(event.job_id, event.revision) for event in mine}
        await reached(lambda told=told, wanted=wanted: len(told) >= len(wanted), "all is told")  # type: ignore[misc] # as above
        assert len(told) == len(wanted)
        assert {(event.job_id, event.revision) for event in told} == wanted


async def test_a_late_commit_is_not_missed(
    url: str, stores: list[SqlStore], heard: list[list[Event]]
) -> None:
    """What was written first and committed last is told when it is committed, though later events
    were told before.
    """
    job = await submit(stores[0])
    with connected(url) as late:
        number = late.execute(OPEN_WRITER).scalar_one()
        late.commit()
        late.execute(LATE_EVENT, {"job": job.job_id, "revision": 77, "writer": number, "seq": 1})
        await submit(stores[1])
        await reached(lambda: len(heard[2]) == 2, "the others are told")
        late.commit()
    await reached(lambda: len(heard[2]) == 3, "the late one is told")
    assert heard[2][-1].revision == 77
    assert heard[2][-1].kind is EventKind.UPDATED


async def test_events_of_a_writer_come_in_its_order(stores: list[SqlStore], heard: list[list[Event]]) -> None:
    """More than a page of one writer is told page by page; the revisions of each job rise."""
    for _ in range(30):
        await asyncio.gather(*(end_of(stores[0]) for _ in range(10)))
    await reached(lambda: len(heard[1]) >= 300 * 2, "all is told")
    by_job = sorted(enumerate(heard[1]), key=lambda place: (place[1].job_id, place[0]))
    for _job, events in groupby(by_job, key=lambda place: place[1].job_id):
        revisions = [event.revision for _, event in events]
        assert revisions == sorted(set(revisions))


async def end_of(store: SqlStore) -> None:
    """A short life."""
    await stop(store, await submit(store))


async def test_a_hint_is_quicker_than_the_poll(stores: list[SqlStore], heard: list[list[Event]]) -> None:
    """An idle store hears of a commit in a small part of the second between two polls."""
    waits = []
    for count in range(1, 12):
        begun = time.monotonic()
        await submit(stores[0])
        await reached(lambda count=count: len(heard[1]) == count, "it is told")  # type: ignore[misc] # as above
        waits.append(time.monotonic() - begun)
    assert sorted(waits)[5] < 0.25


@pytest.mark.usefixtures("many_descriptors")
async def test_a_hint_comes_by_any_descriptor(
    url: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A store whose connections have descriptors of 1024 and more hears what others commit, and
    logs no trouble.
    """
    opened = [SqlStore.open(url, durable=False, clock=clock) for _ in range(2)]
    try:
        heard: list[Event] = []
        opened[1].listeners.append(Recorder(overheard=heard.extend))
        for name, store in zip(("here", "there"), opened, strict=True):
            await store.join(Instance(name, clock(), {"workers": 1}), lease=10)
        await submit(opened[0])
        await reached(lambda: heard, "it is told")
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    finally:
        await asyncio.gather(*(store.close() for store in opened))


async def test_the_tail_goes_on_after_its_connection_was_lost(
    url: str, stores: list[SqlStore], heard: list[list[Event]]
) -> None:
    """A backend that was ended costs nothing: the cursor is kept, and what came meanwhile is told."""
    await submit(stores[0])
    await reached(lambda: heard[1], "the first is told")
    with connected(url) as other:
        ended = other.execute(
            text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'headrace tail'"
            )
        ).scalar_one()
    assert ended == 3
    for _ in range(5):
        await submit(stores[0])
    await reached(lambda: len(heard[1]) == 6, "the rest is told")


async def test_newer_tells_what_is_further_than_is_known(stores: list[SqlStore]) -> None:
    """Of many jobs those are answered that have another revision, and by their ids those that are
    gone.
    """
    jobs = [await submit(stores[0]) for _ in range(3)]
    moved = (await stop(stores[1], jobs[1])).job
    known = {job.job_id: job.revision for job in jobs} | {"unknown": 1}
    assert await stores[2].newer(known) == ([moved], ["unknown"])
    assert await stores[2].newer({moved.job_id: moved.revision}) == ([], [])


async def test_a_claim_of_one_is_told_to_the_other(stores: list[SqlStore], heard: list[list[Event]]) -> None:
    """A whole life on one store, claims on their own connection included, is heard on another in
    order.
    """
    job = await end(stores[0])
    await reached(lambda: len(heard[1]) == job.revision, "all is told")
    found = sorted(heard[1], key=lambda event: event.revision)
    assert [event.revision for event in found] == list(range(1, job.revision + 1))
    assert found[-1].status is Status.SUCCEEDED
    assert (await now(stores[1], job)).status is Status.SUCCEEDED
