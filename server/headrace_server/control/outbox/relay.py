"""The outbox relay: from the outbox to the broker, each job's events in their order.

    outbox ──page──> a line for each job ──its head──> publisher ──> CONFIRMED    deleted, the next of its line is published
       ▲             ▪▪▪  ▪  ▪▪                                 ──> REFUSED      published again in a moment
       └──────────── on_down: forgotten, and read again         ──> UNROUTABLE   the line is parked, and tried again later

- **In order.** At most one event of a job is under way: were there two, and the broker refused the
  first, the second would have overtaken it. Many jobs are under way at once.
- **None lost.** A row goes only when the broker has confirmed it. What was under way when the
  connection broke is published again, under the same id.
- **None in the way of another.** An event that no queue wants holds up its own job's events, which
  stay in the database until a queue wants them.
- **One instance at a time**, and only one that has a connection: the others stand by with theirs.
- **Nobody waits for it.** It is woken by commits and asks once a second; a broker that is away
  costs nothing but the room in the database.
- **A backlog shrinks while it is added to.** Two tasks, since what they do has nothing to wait for
  in the other: one reads pages and has them published; one takes away what was confirmed, behind
  whatever else is written, with one statement for all that came meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from headrace_server.control.outbox.backlog import BacklogWatch
from headrace_server.control.outbox.in_flight import InFlight
from headrace_server.domain.broadcast import Ack, Broadcast, Disposition
from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import Event
from headrace_server.domain.job import Job, Progress
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.ports.outbox import Outbox, Publisher

log = logging.getLogger(__name__)

GAP: Final = 0.02
"""Seconds in which commits are gathered.

To take rows away behind each commit would make submits twice as slow.
"""
PERIOD: Final = 1.0
"""Seconds: the safety net beside every wake-up."""
PAGE: Final = 1000
"""Broadcasts that are read at a time, where nothing large is beside them."""
PAGE_BYTES: Final = 16 << 20
"""Bytes of parameters and results that are read at a time."""
ROOM: Final = 8
"""Pages that are in memory, beyond which none is read."""
REFUSED_PAUSE: Final = 1.0
"""Seconds before an event is published again that the broker could not take."""
PARKED_PERIOD: Final = 10.0
"""Seconds between two tries of a page of what no queue wanted."""
PROGRESSED_MAX: Final = 10_000
"""The number of remembered jobs above which those that may send progress again are forgotten."""


class OutboxRelay(CommitListener):
    """Of one instance. Used on the event loop's thread only."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        *,
        progress_interval: float = 0,
        keep: bool = True,
        payload_bytes: int = 0,
    ) -> None:
        """Take the outbox, the publisher, and the limits of what is sent.

        `keep`: what no queue wants is kept, else it is let go. Progress of a job is sent at most
        once in `progress_interval` seconds; 0 means not at all.

        payload_bytes: so many may be beside a broadcast, so that fewer are in memory where there
        are more.
        """
        self._outbox = outbox
        self._outage = Outage(
            log,
            "events cannot be taken from the store, trying again",
            "events are taken from the store again",
        )
        self._progress_interval = progress_interval
        self._keep = keep
        self._page = min(PAGE, max(1, PAGE_BYTES // max(1, payload_bytes)))
        self._progressed: dict[str, float] = {}
        self._publisher = publisher
        self._lines = InFlight()
        self._up = False
        self._leads = False
        self._asked = float("-inf")
        self._wanted = False
        self._cursor = 0
        self._parked_cursor = 0
        self._parked_try = 0.0
        self._backlog = BacklogWatch(outbox)
        self._totals = dict.fromkeys(Disposition, 0)
        self._to_read = asyncio.Event()
        self._to_tidy = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        publisher.on_up = self._went_up
        publisher.on_down = self._went_down
        publisher.on_settled = self._settled

    def start(self) -> None:
        """Begin."""
        self._publisher.start()
        self._tasks = [
            asyncio.create_task(self._repeat(self._read, self._to_read)),
            asyncio.create_task(self._repeat(self._tidy, self._to_tidy)),
        ]

    def committed(self, changes: Sequence[Change]) -> None:  # noqa: ARG002 - whatever it is
        """There may be something in the outbox."""
        self.wake()

    def overheard(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - likewise
        """The outbox is everybody's."""
        self.wake()

    def wake(self) -> None:
        """Look into the outbox."""
        self._to_read.set()

    def progressed(self, job: Job, progress: Progress) -> None:
        """Publish the progress of a job that runs here.

        It is no event: what cannot be sent now is not sent.
        """
        now = time.monotonic()
        if not self._progress_interval or not self._up or now < self._progressed.get(job.job_id, 0):
            return
        if len(self._progressed) > PROGRESSED_MAX:
            self._progressed = {job_id: due for job_id, due in self._progressed.items() if due > now}
        self._progressed[job.job_id] = now + self._progress_interval
        self._publisher.publish_progress(job, progress)

    async def close(self, seconds: float) -> None:
        """Publish what is there, for so long at most, and leave off."""
        if not self._tasks:
            return
        until = time.monotonic() + seconds
        while self._up and self._leads and time.monotonic() < until:
            if self._lines.settled and await self._empty():
                break
            await asyncio.sleep(GAP)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._put_away()
            await self._outbox.try_lead(want=False)
        except StoreUnavailable as error:
            log.warning("some events will be published twice: %s", error)
        await self._publisher.close()

    async def counters(self) -> Mapping[str, int]:
        """Return gauges and counters for GetServerInfo.

        What waits is counted for that, as long as the database answers.
        """
        with suppress(StoreUnavailable):
            await self._backlog.look()
        return {
            "events_connected": int(self._up),
            "events_leading": int(self._leads),
            **self._backlog.gauges(),
            "events_published_total": self._totals[Disposition.CONFIRMED],
            "events_unroutable_total": self._totals[Disposition.UNROUTABLE],
            "events_refused_total": self._totals[Disposition.REFUSED],
        }

    # What the publisher says.

    def _went_up(self) -> None:
        self._up = True
        self._to_tidy.set()

    def _went_down(self) -> None:
        self._up = False
        self._forget()
        self._to_tidy.set()

    def _forget(self) -> None:
        """Forget what is in memory; the instance that leads then reads it again."""
        self._lines.forget()
        self._cursor = self._parked_cursor = 0

    def _settled(self, settled: Sequence[Ack]) -> None:
        following = []
        for broadcast, disposition in settled:
            self._totals[disposition] += 1
            if disposition is Disposition.REFUSED:
                asyncio.get_running_loop().call_later(REFUSED_PAUSE, self._again, broadcast)
            elif disposition is Disposition.UNFIT or (disposition is Disposition.UNROUTABLE and self._keep):
                self._lines.park(broadcast)
            else:
                if broadcast.parked:
                    self._parked_try = 0.0  # a queue wants them by now: go on with the others
                following.append(self._lines.end(broadcast))
        self._publisher.publish([head for head in following if head is not None])
        self._to_tidy.set()

    def _again(self, broadcast: Broadcast) -> None:
        if self._lines.is_head(broadcast):
            self._publisher.publish([broadcast])

    # The tasks.

    async def _repeat(self, step: Callable[[], Awaitable[None]], wake: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(PERIOD):
                    await wake.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(GAP)
            wake.clear()
            try:
                await step()
                self._outage.over()
            except StoreUnavailable as error:
                self._outage.met(error)
            except Exception:
                log.exception("events were not published, trying again")

    async def _tidy(self) -> None:
        await self._put_away()
        await self._ask_for_lead()
        if self._leads or not self._up:  # who stands by counts when it is asked
            await self._backlog.look()
            self._backlog.report(up=self._up)

    async def _read(self) -> None:
        self._lines.forget_acknowledged()
        if self._leads:
            await self._fill()
            await self._try_parked()

    async def _ask_for_lead(self) -> None:
        """Ask once in a period.

        Whether it is known by then that another leads matters little: see store.outbox.leadership.
        """
        now = time.monotonic()
        if now < self._asked + PERIOD and self._up is self._wanted:
            return
        self._asked, self._wanted = now, self._up
        leads = await self._outbox.try_lead(want=self._wanted)
        if leads is not self._leads:
            self._leads = leads
            self._forget()
            self._to_read.set()

    async def _put_away(self) -> None:
        """Delete what is settled from the outbox, or mark it there."""
        sent, parked = self._lines.sent.new, self._lines.parked.new
        if sent or parked:
            await self._outbox.settle(sent, parked)
            self._lines.sent.acknowledged(len(sent))
            self._lines.parked.acknowledged(len(parked))
            self._to_read.set()  # there is room now

    async def _fill(self) -> None:
        """Read a page, while there is room."""
        if not self._up or len(self._lines) >= ROOM * self._page:
            return
        after = self._cursor
        page = await self._outbox.unsent(after=after, parked=False, limit=self._page)
        if not (self._up and self._leads and self._cursor == after):
            self._to_read.set()
            return  # all was forgotten meanwhile
        self._cursor = page.end or 0
        self._publisher.publish(self._lines.take_wanted(page.broadcasts))
        if self._lines.parked.new:
            self._to_tidy.set()
        if page.end is not None:
            self._to_read.set()  # there may be more behind it

    async def _try_parked(self) -> None:
        """Publish some of what no queue wanted: one may by now."""
        now = time.monotonic()
        if not self._up or now < self._parked_try or len(self._lines) >= ROOM * self._page:
            return
        self._parked_try = now + PARKED_PERIOD
        after = self._parked_cursor
        page = await self._outbox.unsent(after=after, parked=True, limit=self._page)
        if self._up and self._leads and self._parked_cursor == after:  # else all was forgotten meanwhile
            self._parked_cursor = page.end or 0
            self._publisher.publish(self._lines.take(page.broadcasts))

    async def _empty(self) -> bool:
        try:
            return not (await self._outbox.backlog()).pending
        except StoreUnavailable:
            return True
