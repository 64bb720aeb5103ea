"""SqlStore: the Store of domain.ports over one database."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, insert
from sqlalchemy.exc import DatabaseError

from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import Event
from headrace_server.domain.job import Job, JobError
from headrace_server.domain.lease import LeaseTimes
from headrace_server.domain.ports import (
    Claimed,
    ClaimRequest,
    Decision,
    Instance,
    Page,
    Submission,
    Submitted,
)
from headrace_server.domain.query import Counts, Filter, FullJob, Group
from headrace_server.store import dialect, instances, listing, migrate, reads, schema, work
from headrace_server.store.claims import Claim, Turn
from headrace_server.store.dialect import Dialect, Engines, refused
from headrace_server.store.lease import Heartbeat, stopwatch
from headrace_server.store.order import CommitOrder
from headrace_server.store.tail import Tail
from headrace_server.store.transaction import transaction
from headrace_server.store.waiting import Waiting
from headrace_server.store.writer import Writer

Answer = TypeVar("Answer")

NEWER_PAGE = 1000
"""Jobs asked for at a time: what one answer carries well."""


def wall_clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class SqlStore:
    """The durable truth in a database. See domain.ports.Store for what each method promises.

    on_commit is called on the event loop's thread with the changes of each commit, one Change for each job with all
    its events of that commit, before any caller of that commit is answered. Deletion is no change.

    On a database that others serve too, and after `join`: on_elsewhere is called with events that they have committed,
    on_lost when this instance is not alive any more (`join` again, with another id), on_dead when others may have left
    runs behind (`recover`). about gives what is told of this instance with each beat. They are set before `join`.
    """

    def __init__(
        self,
        database: Dialect,
        engines: Engines,
        *,
        numbers: Sequence[int],
        waiting: int,
        max_waiting: int,
        clock: Callable[[], int],
    ) -> None:
        self._max_waiting = max_waiting
        self.on_commit: Callable[[Sequence[Change]], None] = lambda _changes: None
        self.on_elsewhere: Callable[[Sequence[Event]], None] = lambda _events: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_dead: Callable[[], None] = lambda: None
        self.about: Callable[[], Mapping[str, Any]] = dict
        self._me = ""
        self._numbers = numbers
        self._heartbeat: Heartbeat | None = None
        self._tail: Tail | None = None
        self._database = database
        self._engines = engines
        self._reads = engines.reads
        self._readers = ThreadPoolExecutor(database.readers, thread_name_prefix="store-reader")
        self._turn = Turn()
        self._closed = False
        self._waiting = Waiting(waiting)
        order = CommitOrder()
        self._writers = [
            Writer(
                engine,
                asyncio.get_running_loop(),
                database=database,
                number=number,
                waiting=self._waiting,
                order=order,
                clock=clock,
                on_commit=self._announce,
            )
            for engine, number in zip(_writing(engines), numbers, strict=True)
        ]
        self._writer, self._claims = self._writers[0], self._writers[-1]

    @classmethod
    def open(
        cls,
        url: str,
        *,
        durable: bool = True,
        max_waiting: int = 1_000_000,
        clock: Callable[[], int] = wall_clock,
    ) -> Self:
        """Open the database of this URL, on the thread of the running event loop.

        The schema must be up to date (`migrate.upgrade`), and the caller should hold the lock (`StoreLock.take`) of
        a SQLite file. durable: a write that was answered survives a loss of power; False is for databases that are
        thrown away. max_waiting: how many jobs may be held or queued at once; a submit beyond that is refused.
        clock: microseconds since 1970 UTC. Raises StoreRefused.
        """
        migrate.check(url)
        database = dialect.of_url(url)
        engines = database.engines(url, durable=durable)
        try:
            with engines.writes.begin() as connection:
                opening = insert(schema.writer).returning(schema.writer.c.writer)
                numbers = [
                    connection.execute(opening, {"start_time": clock()}).scalar_one()
                    for _ in _writing(engines)
                ]
                waiting = work.count_waiting(connection)
        except DatabaseError as error:
            engines.dispose()
            raise refused(database, url, "cannot be written", error) from error
        database.name(engines, numbers)
        database.keep(engines, url)
        return cls(database, engines, numbers=numbers, waiting=waiting, max_waiting=max_waiting, clock=clock)

    async def join(self, me: Instance, *, lease: float = 10.0) -> None:
        """Begin a life among those who serve the database; lease in seconds. A life before it has ended.

        Only then are claims made for it. Raises StoreUnavailable.
        """
        if self._heartbeat is not None:
            await asyncio.to_thread(self._heartbeat.stop)
            self._heartbeat = None
        loop = asyncio.get_running_loop()
        shared = self._database.shared
        sent = stopwatch()
        await self._writer.put(work.Join(me, self._me, self._numbers, alone=not shared))
        self._me = me.instance
        if shared:
            self._heartbeat = Heartbeat(
                self._engines.beats,
                loop,
                me,
                LeaseTimes(lease),
                sent,
                database=self._database,
                about=self.about,
                on_lost=self.on_lost,
                on_dead=self.on_dead,
            )
        if self._tail is None and (hints := self._database.hints()) is not None:
            self._tail = Tail(
                self._engines.tail,
                loop,
                database=self._database,
                hints=hints,
                own=self._numbers,
                on_events=self.on_elsewhere,
            )
            self._tail.start()

    @property
    def instance(self) -> str:
        """The id of the life that `join` has begun."""
        return self._me

    def valid(self) -> bool:
        """Whether this instance is alive, so that a run may be begun."""
        return self._heartbeat is None or self._heartbeat.valid()

    def fence(self) -> float | None:
        """When, by CLOCK_BOOTTIME, nothing may be left of its runs; None where nobody takes any over. From any thread."""
        return None if self._heartbeat is None else self._heartbeat.fence()

    @property
    def waiting(self) -> int:
        """How many jobs are held or queued."""
        return self._waiting.now

    async def close(self) -> None:
        """Write and answer what was asked for, refuse what comes after, and close the database."""
        if self._heartbeat is not None:
            await asyncio.to_thread(self._heartbeat.stop)
        if self._me:
            with suppress(StoreUnavailable):
                await self._writer.put(work.Leave(self._me))
        self._closed = True
        if self._tail is not None:
            await asyncio.to_thread(self._tail.stop)
        await asyncio.gather(*(one.close() for one in self._writers))
        self._readers.shutdown()
        self._engines.dispose()

    def _announce(self, changes: Sequence[Change]) -> None:
        self.on_commit(changes)  # Whoever listens now: it is set after the store was opened.
        if self._tail is not None:
            self._tail.hint()

    async def submit(self, submission: Submission) -> Submitted:
        """Create the job, or find the one of this request_id.

        Raises RequestIdReused, JobNotFound once it was deleted, QueueFull.
        """
        return await self._writer.put(work.Submit(submission, self._max_waiting))

    async def apply(self, job_id: str, decide: Decision, *, tenant: str | None = None) -> Change:
        """Change one job. Raises JobNotFound, and what decide raises."""
        return await self._writer.put(work.Apply(job_id, decide, tenant))

    async def delete(self, job_id: str, *, tenant: str) -> None:
        """Delete an ended job with its payload and history. Raises JobNotFound, JobLocked, WrongStatus."""
        await self._writer.put(work.Delete(job_id, tenant))

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Fill seats with ready jobs; fewer when there are fewer.

        A job that expired at its permit is answered as FAILED, and its seat goes to the next.
        """
        return await self._claims.put(Claim(request, self._turn, prove=self._heartbeat is not None))

    async def run_timers(self) -> int | None:
        """Promote and expire jobs whose time has come, 500 at most; answer the time of the next timer, past or not."""
        return await self._writer.put(work.Timers())

    async def recover(self, error: JobError, *, confirmed: bool) -> int:
        """Settle every job that is held by an instance which is not alive, in one transaction; answer how many."""
        return await self._writer.put(work.Recover(error, confirmed))

    async def newer(self, known: Mapping[str, int]) -> list[Job]:
        """Of the jobs whose revision is known: those that have another by now, or show progress."""
        pairs = list(known.items())
        pages = [pairs[first : first + NEWER_PAGE] for first in range(0, len(pairs), NEWER_PAGE)]
        found: list[Job] = []
        for page in pages:
            found += await self._read(lambda connection, page=page: reads.newer(connection, page))  # type: ignore[misc] # mypy knows no defaults of lambdas
        return found

    async def instances(self) -> list[Instance]:
        """Those that serve the database, and those that have died lately, oldest first."""
        return await self._read(instances.everyone)

    async def get(self, job_id: str, *, tenant: str, payload: bool) -> FullJob:
        """One job. Raises JobNotFound."""
        return await self._read(lambda connection: reads.get(connection, job_id, tenant, payload=payload))

    async def find(self, page: Page) -> list[FullJob]:
        """The jobs of one page."""
        return await self._read(lambda connection: listing.find(connection, page))

    async def count(self, tenant: str | None, which: Filter, groups: Sequence[Group]) -> Counts:
        """Counts of the jobs that match."""
        return await self._read(lambda connection: listing.count(connection, tenant, which, groups))

    async def events(self, job_id: str, *, after: int, limit: int) -> list[Event]:
        """Events of a job after a revision, oldest first."""
        return await self._read(lambda connection: reads.events(connection, job_id, after, limit))

    async def _read(self, question: Callable[[Connection], Answer]) -> Answer:
        """Ask in a transaction of its own, on a reader's thread: a reader that lingers lets the log grow."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._ask, question)

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:
        try:
            with transaction(self._reads) as connection:
                return question(connection)
        except Exception as error:
            if reason := self._database.trouble(error):
                raise StoreUnavailable(f"The database cannot be read now: {reason}.") from error
            raise


def _writing(engines: Engines) -> list[Engine]:
    """The engines that write: where claims have none of their own there is one."""
    return list(dict.fromkeys((engines.writes, engines.claims)))
