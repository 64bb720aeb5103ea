"""Following one job: the six points of WatchJob, without gRPC.

    subscribe ─> read the row ─> snapshot/heartbeat ──> events after the cursor ─> progress ─┐
                 (or submit)
                                                              ▲                               │
                                                              └──── wait: wake, heartbeat <───┘
                                                      at the end of the log of a job that has ended:
                                                      finished

Who follows a job that is still to be submitted subscribes first too, and then reads nothing: the
answer of the submit is the snapshot, and the commits tell how the job ends.

Subscribing comes before reading the row, so nothing that is committed in between is missed; the
cursor drops what the row had shown already. Events come from the topic when it keeps them and from
the log when it does not, a few at a time: whoever does not read holds those few, and no
transaction.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from headrace_server.control.watch.hub import TAKEN_EVENTS, Hub, Subscription
from headrace_server.domain.errors import Draining, JobNotFound, RevisionAhead
from headrace_server.domain.event import MESSAGE_KINDS, Event
from headrace_server.domain.job import Job, Progress
from headrace_server.domain.ports.jobs import JobReader
from headrace_server.domain.query import FullJob
from headrace_server.domain.updates import Finished, Heartbeat, Snapshot, Update


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The options of a watch.

    `after`: resume behind this revision; None begins with a snapshot. `min_progress_interval` and
    `heartbeat` are in seconds.
    """

    after: int | None = None
    include_messages: bool = False
    min_progress_interval: float = 0.1
    heartbeat: float = 15.0


class Watch:
    """One watch of one job: iterate `updates` once."""

    def __init__(self, store: JobReader, hub: Hub, tenant: str, job_id: str, options: WatchOptions) -> None:
        self._store = store
        self._hub = hub
        self._tenant = tenant
        self._job_id = job_id
        self._options = options

    async def updates(self) -> AsyncGenerator[Update]:
        """Yield the updates.

        Raises JobNotFound, RevisionAhead, and Draining when the server shuts down.
        """
        with self._hub.subscribe(self._job_id) as subscription:
            async with aclosing(self.updates_from(subscription, await self._get())) as updates:
                async for update in updates:
                    yield update

    async def updates_from(self, subscription: Subscription, first: FullJob) -> AsyncGenerator[Update]:
        """Yield the updates, for one who subscribed before the job stood as `first`."""
        cursor = first.job.revision if self._options.after is None else self._options.after
        if cursor > first.job.revision:
            raise RevisionAhead(self._job_id, first.job.revision)
        if self._options.after is None:
            await self._hub.turns.take()
            yield Snapshot(first)
        elif not self._hub.closing:
            # A client that resumes has nothing else to tell it that the server is back.
            yield Heartbeat(cursor)
        _raise_to(subscription, first.job)
        shown = first.job.progress if self._options.after is None else None
        async with aclosing(self._follow(subscription, cursor, shown)) as following:
            async for update in following:
                await self._hub.turns.take()
                yield update
        last = await subscription.topic.end(self._get)
        await self._hub.turns.take()
        yield Finished(last)

    async def _follow(
        self, subscription: Subscription, cursor: int, shown: Progress | None
    ) -> AsyncGenerator[Update]:
        """Everything until the end of the log of a job that has ended."""
        loop = asyncio.get_running_loop()
        next_progress = 0.0
        while True:
            while cursor < subscription.topic.revision:
                for event in await self._events(subscription, cursor):
                    cursor = event.revision
                    if self._options.include_messages or event.kind not in MESSAGE_KINDS:
                        yield event
            if subscription.topic.final:
                return
            self._check(subscription)
            progress = subscription.topic.progress
            pause = self._options.heartbeat
            if progress is not None and progress is not shown:
                pause = next_progress - loop.time()
                if pause <= 0:
                    yield progress
                    shown = progress
                    next_progress = loop.time() + self._options.min_progress_interval
                    continue
            if not await subscription.wait(pause) and pause == self._options.heartbeat:
                yield Heartbeat(cursor)

    def _check(self, subscription: Subscription) -> None:
        """Raise when there is nothing to wait for."""
        if subscription.topic.gone:
            raise JobNotFound(self._job_id)
        if self._hub.closing:
            raise Draining

    async def _events(self, subscription: Subscription, cursor: int) -> list[Event]:
        events = subscription.events_after(cursor)
        if events is None:
            events = await self._store.events(self._job_id, after=cursor, limit=TAKEN_EVENTS)
            if not events:
                raise JobNotFound(self._job_id)  # deleted meanwhile
        return events

    async def _get(self) -> FullJob:
        return await self._store.get(self._job_id, tenant=self._tenant, payload=True)


async def wait_final(store: JobReader, hub: Hub, tenant: str, job_id: str, seconds: float) -> FullJob:
    """Return the job when it has ended, or as it stands when the time is over.

    Raises JobNotFound, Draining.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    with hub.subscribe(job_id) as subscription, hub.waiting():
        job = await store.get(job_id, tenant=tenant, payload=True)
        _raise_to(subscription, job.job)
        if not await ended(subscription, hub, deadline) and hub.closing:
            raise Draining
        return await store.get(job_id, tenant=tenant, payload=True)


async def ended(subscription: Subscription, hub: Hub, deadline: float) -> bool:
    """Wait until the job has ended: True, or False when the time is over or the server ends.

    deadline: by the time of the event loop. A job that was deleted has ended.
    """
    loop = asyncio.get_running_loop()
    topic = subscription.topic
    while not (topic.final or topic.gone):
        left = deadline - loop.time()
        if hub.closing or left <= 0:
            return False
        await subscription.wait(left)
    return True


def _raise_to(subscription: Subscription, job: Job) -> None:
    """Raise a topic to the revision of a row, since a younger topic has missed what it shows."""
    topic = subscription.topic
    if job.revision >= topic.revision:
        topic.revision = job.revision
        topic.final = job.ended
        if topic.progress is None and not topic.final:
            topic.progress = job.progress
