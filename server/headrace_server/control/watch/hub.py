"""The hub: what has just been committed, handed to those who watch.

    store ── committed ──> hub.publish ──┐                 ┌─ feed (cursor) ── stream
                                         ├─> topic of a job┼─ feed (cursor) ── stream
    dispatcher ── progress ─> hub.report ┘   last events   └─ feed (cursor) ── stream

A topic exists while somebody watches its job, and keeps the last few events, the revision it has
reached and the latest progress. A feed is a cursor, not a buffer: publishing only wakes it, and a
feed that has fallen behind what the topic keeps reads the rest from the log. So a slow watcher
costs nobody anything.

Thousands may watch one job. Before each update a watcher takes a turn, and there are few turns in
each round of the loop: so everybody else is served between them, and no call waits until the last
watcher has been written to. A turn is over at once, so one who does not read keeps none.

Who watches a job from before its submit need not read it: the topic is given each of its commits,
from the first on, and so knows how it stands (control.watch.known).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from headrace_server.control.watch.known import Known
from headrace_server.domain.change import Change
from headrace_server.domain.errors import TooManyWatchers
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Job, Progress
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.query import FullJob

KEPT_EVENTS = 64
TAKEN_EVENTS = 16
"""Events that a feed takes at a time.

A watcher that does not read holds no more of them, of up to 4 KiB each.
"""
PACE_MAX = 50
"""In each round of the loop."""


class Topic:
    """One watched job."""

    def __init__(self) -> None:
        self.revision = 0
        """The latest revision that is known to be in the log."""
        self.published = 0
        """The latest revision that has come as an event."""
        self.events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self.progress: Progress | None = None
        self.final = False
        self.gone = False
        """Whether the job was deleted before its end was known here."""
        self.feeds: set[Subscription] = set()
        self.known: Known | None = None
        """What the commits have said of a job that is watched from before its submit."""
        self._end: tuple[int, asyncio.Task[FullJob]] | None = None

    def wake(self) -> None:
        """Wake every feed."""
        for subscription in self.feeds:
            subscription.wake()

    async def end(self, read: Callable[[], Coroutine[Any, Any, FullJob]]) -> FullJob:
        """Return the job as it ended.

        Where the commits have not told it, it is read once for all that watch it to its end, and
        again when it has changed since.
        """
        if self.known is not None and (told := self.known.at(self.revision)) is not None:
            return told
        if self._end is None or self._end[0] != self.revision or _has_failed(self._end[1]):
            self._end = (self.revision, asyncio.get_running_loop().create_task(read()))
            self._end[1].add_done_callback(_has_failed)  # looked at, though all have left
        return await asyncio.shield(self._end[1])  # whoever leaves takes nothing from the others


class Subscription:
    """One watcher's place at a topic."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let `wait` return, now or when it is next called."""
        self._woken = True
        if self._waiter is not None:
            _let_go(self._waiter)

    async def wait(self, seconds: float) -> bool:
        """Wait until there may be something new: True, or False when the time is over."""
        if not self._woken:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = loop.call_later(seconds, _let_go, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        woken, self._woken = self._woken, False
        return woken

    def events_after(self, revision: int) -> list[Event] | None:
        """The first events after a revision, or None when the topic does not keep them.

        A row can be read before its commit is published here, so the topic's revision may be ahead
        of its events.
        """
        events = self.topic.events
        if not events or events[0].revision > revision + 1 or events[-1].revision <= revision:
            return None
        first = revision + 1 - events[0].revision  # revisions have no gaps
        return list(islice(events, first, first + TAKEN_EVENTS))


def _has_failed(read: asyncio.Task[FullJob]) -> bool:
    return read.done() and (read.cancelled() or read.exception() is not None)


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Pacer:
    """Lets a few pass in each round of the loop, in the order in which they came."""

    def __init__(self) -> None:
        self._left = PACE_MAX
        self._counting = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Pass, or wait for a later round."""
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._counting = True
            loop.call_soon(self._next_round)
        if self._left:
            self._left -= 1
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next_round(self) -> None:
        self._left = PACE_MAX
        while self._waiting and self._left:
            self._left -= 1
            _let_go(self._waiting.popleft())
        if self._left < PACE_MAX:
            asyncio.get_running_loop().call_soon(self._next_round)
        else:
            self._counting = False


class Hub(CommitListener):
    """All topics, used on the event loop's thread only.

    `most`: how many may watch and wait at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.turns = Pacer()
        self._topics: dict[str, Topic] = {}
        self.feeds = 0
        """How many watch and wait."""
        self.waits = 0
        """How many of them are calls that wait for a job's end."""
        self.closing = False

    def check_room(self) -> None:
        """Raise TooManyWatchers unless another may watch."""
        if self.feeds >= self._most:
            raise TooManyWatchers(
                f"{self._most} callers watch or wait on this server already (max_watchers): try again."
            )

    @contextmanager
    def subscribe(self, job_id: str, *, parameters: str | None = None) -> Iterator[Subscription]:
        """A feed for a job, for the length of the block. Subscribe before reading the job's row.

        parameters: those of a job that is not submitted yet. It need not be read then.
        Raises TooManyWatchers.
        """
        self.check_room()
        topic = self._topics.setdefault(job_id, Topic())
        if parameters is not None:
            topic.known = Known(parameters)
        subscription = Subscription(topic)
        topic.feeds.add(subscription)
        self.feeds += 1
        try:
            yield subscription
        finally:
            self.feeds -= 1
            topic.feeds.discard(subscription)
            if not topic.feeds:
                self._topics.pop(job_id, None)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For the length of the block, this call does nothing but wait for a job's end."""
        self.waits += 1
        try:
            yield
        finally:
            self.waits -= 1

    def committed(self, changes: Sequence[Change]) -> None:
        """Watchers here see what was committed here."""
        for change in changes:
            topic = self._topics.get(change.job.job_id)
            if topic is not None and topic.known is not None:
                topic.known.learn(change)
        self.publish(event for change in changes for event in change.events)

    def overheard(self, events: Sequence[Event]) -> None:
        """They see what was committed elsewhere, too."""
        self.publish(events)

    def publish(self, events: Iterable[Event]) -> None:
        """Committed events, those of each job in their order.

        With several instances they come on two ways, by this one's own commits and by the tail, and
        one way may be ahead: what has come before is dropped, and where some are missing the feeds
        find them in the log.
        """
        for event in events:
            topic = self._topics.get(event.job_id)
            if topic is None or event.revision <= topic.published:
                continue
            if event.revision != topic.published + 1:
                topic.events.clear()
            topic.events.append(event)
            topic.published = event.revision
            if event.revision >= topic.revision:
                topic.revision = event.revision
                topic.final = event.status.final
            if event.kind is EventKind.STATUS_CHANGED:
                topic.progress = None  # of an attempt that has ended
            topic.wake()

    def known(self) -> Mapping[str, int]:
        """The jobs that are watched and have not ended, with the revisions reached.

        Those that are still to be submitted are left out: they are not there, and not gone.
        """
        return {
            job_id: topic.revision
            for job_id, topic in self._topics.items()
            if not topic.final and (topic.revision or topic.known is None)
        }

    def catch_up(self, job: Job) -> None:
        """Bring a topic up to a job's row as it stands by now.

        This is the net for events that have not come, and for progress made elsewhere.
        """
        topic = self._topics.get(job.job_id)
        if topic is None or job.revision < topic.revision:
            return
        if job.revision > topic.revision:
            topic.revision = job.revision
            topic.final = job.ended
            topic.progress = None
            topic.wake()
        if job.progress is not None and not topic.final:
            known = topic.progress
            if known is None or known.update_time < job.progress.update_time:
                topic.progress = job.progress
                topic.wake()

    def gone(self, job_id: str) -> None:
        """Let the watchers of a job see that it was deleted elsewhere."""
        topic = self._topics.get(job_id)
        if topic is not None and not topic.final:
            topic.gone = True
            topic.wake()

    def report(self, job_id: str, progress: Progress) -> None:
        """The latest progress of a running job."""
        topic = self._topics.get(job_id)
        if topic is not None and not topic.final:
            topic.progress = progress
            topic.wake()

    def close(self) -> None:
        """Let every watcher notice that the server is shutting down."""
        self.closing = True
        for topic in self._topics.values():
            topic.wake()
