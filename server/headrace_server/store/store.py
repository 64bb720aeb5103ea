"""SqlStore: the implementation of a store's ports in domain.ports, over one database.

What it answers without writing is in read.reader.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, Self, TypeVar

from sqlalchemy import insert, literal, select
from sqlalchemy.exc import DatabaseError

from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import EventKind
from headrace_server.domain.gate import Gate
from headrace_server.domain.job import JobError
from headrace_server.domain.ports.claims import Claimed, ClaimRequest
from headrace_server.domain.ports.cluster import Instance, LifeListener
from headrace_server.domain.ports.jobs import (
    BatchSubmission,
    Decision,
    Submission,
    Submitted,
    SubmittedBatch,
)
from headrace_server.domain.ports.retention import SweepResult
from headrace_server.domain.retention import Retention
from headrace_server.store import sql
from headrace_server.store.batch.batches import Batches
from headrace_server.store.claim.claimer import Claimer
from headrace_server.store.cluster import lives, recovery
from headrace_server.store.cluster.life import Life
from headrace_server.store.commit_news import CommitNews
from headrace_server.store.gates import ChangeGate, Gates
from headrace_server.store.opening import migrate
from headrace_server.store.outbox import leadership
from headrace_server.store.outbox.rows import Announcer
from headrace_server.store.read.reader import Reader
from headrace_server.store.sql import Dialect, Engines, refused
from headrace_server.store.tables import schema
from headrace_server.store.write import operations
from headrace_server.store.write.due import DueJobs
from headrace_server.store.write.retention import Deletion
from headrace_server.store.write.writers import Writers, writing

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


def wall_clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class SqlStore(Reader):
    """The durable truth in a database. See domain.ports for what each method promises.

    On a database that others serve too, and after `join`, the listeners overhear what others have
    committed.
    """

    def __init__(
        self,
        database: Dialect,
        engines: Engines,
        *,
        numbers: Sequence[int],
        waiting: int,
        max_waiting: int,
        announcer: Announcer | None,
        clock: Callable[[], int],
    ) -> None:
        super().__init__(database, engines.reads)
        self._max_waiting = max_waiting
        self._numbers = numbers
        self._engines = engines
        self._news = CommitNews()
        self.listeners = self._news.listeners
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="store-probe")
        self._writers = writers = Writers(
            database,
            engines,
            numbers=numbers,
            waiting=waiting,
            announcer=announcer,
            clock=clock,
            on_commit=self._news.committed,
        )
        self._writer, self._waiting = writers.first, writers.waiting
        self._life = Life(self._writer, engines.beats, database=database, numbers=numbers, clock=clock)
        self._claimer = Claimer(writers.claims, self._news.retry, clock)
        self._due = DueJobs(self._writer, self._read, clock)
        self._deletion = Deletion(self._writer, self._read, clock)
        self._batches = Batches(self._writer, self._read, me=lambda: self._life.instance, most=max_waiting)
        writers.start()
        self._recount = asyncio.create_task(self._keep_counting()) if database.shared else None

    async def _keep_counting(self) -> None:
        await self._waiting.recount(lambda begin: self._read(partial(self._writers.count_waiting, begin)))

    @classmethod
    def open(
        cls,
        url: str,
        *,
        durable: bool = True,
        max_waiting: int = 1_000_000,
        broadcast: Collection[EventKind] = (),
        payload_bytes: int = 0,
        clock: Callable[[], int] = wall_clock,
    ) -> Self:
        """Open the database of this URL, on the thread of the running event loop.

        The schema must be up to date (`migrate.upgrade`), and the caller should hold the lock
        (`StoreLock.take`) of a SQLite file. durable: a write that was answered survives a loss of
        power; False is for databases that are thrown away. max_waiting: how many jobs may be held
        or queued at once; a submit beyond that is refused. broadcast: the kinds of events that go
        into the outbox too, for somebody who takes them out again. payload_bytes: up to so many of
        parameters and results go with them. clock: microseconds since 1970 UTC. Raises
        StoreRefused.
        """
        migrate.check(url)
        database = sql.of_url(url)
        engines = database.engines(url, durable=durable)
        try:
            with engines.writes.begin() as connection:
                opening = insert(schema.writer).returning(schema.writer.c.writer)
                numbers = [
                    connection.execute(opening, {"start_time": clock()}).scalar_one()
                    for _ in writing(engines)
                ]
                waiting = operations.count_waiting(connection)
            database.name(engines, numbers)
            database.pin_to_file(engines, url)
            _connect_readers(database, engines)
            return cls(
                database,
                engines,
                numbers=numbers,
                waiting=waiting,
                max_waiting=max_waiting,
                announcer=Announcer(broadcast, payload_bytes) if broadcast else None,
                clock=clock,
            )
        except BaseException as error:
            engines.dispose()
            if isinstance(error, DatabaseError):
                raise refused(database, url, "cannot be written", error) from error
            raise

    async def join(self, me: Instance, *, lease: float | None, life: LifeListener | None = None) -> None:
        """Begin a life among the instances that serve the database.

        The previous life is over. Raises StoreUnavailable.

        lease: its seconds, on a database that others may serve too; None for one who is alone.
        life: who is told of its end.
        """
        await self._life.begin(me, lease, life or LifeListener())
        try:
            self._news.follow(self._engines.tail, self._database, self._numbers)
        except Exception as error:
            self._raise_unavailable(error)
            raise

    @property
    def gates(self) -> Gates:
        """What claims do with gates."""
        return self._claimer.gates

    @gates.setter
    def gates(self, gates: Gates) -> None:
        self._claimer.gates = gates

    @property
    def instance(self) -> str:
        """The id of the life that `join` has begun."""
        return self._life.instance

    def valid(self) -> bool:
        """Whether this instance is alive, so that a run may be begun."""
        return self._life.valid()

    def fence(self) -> float | None:
        """The CLOCK_BOOTTIME at which nothing may be left of the instance's runs.

        It is None where no other instance takes runs over. It may be read from any thread.
        """
        return self._life.fence()

    @property
    def waiting(self) -> int:
        """How many jobs are held or queued."""
        return self._waiting.now

    async def close(self) -> None:
        """Write and answer what was asked for, refuse what comes after, and close the database."""
        await self._batches.close()
        await self._life.end()
        self._closed = True
        if self._recount is not None:
            self._recount.cancel()
        await self._news.stop()
        await self._writers.close()
        self._readers.shutdown()
        self._prober.shutdown()
        self._engines.dispose()

    async def ping(self, seconds: float) -> None:
        """Return when calls would be answered now. Raises StoreUnavailable.

        The database is asked on a connection of its own, which waits for no other question. That
        may answer while what calls need does not: no connection is to be had for reads, a lock or a
        full disk keeps writes out. So where the latest read or write of a call has failed, one like
        it is tried too; and a write that takes longer is no answer, such as one that waits for a
        lock of another process. seconds: how long a database that says nothing is waited for; it
        may be longer until this returns.
        """
        if (busy := self._writer.busy()) >= seconds:
            raise StoreUnavailable(
                f"The database cannot be written now: a write has taken {busy:.1f} s so far."
            )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._prober, self._ping, seconds)
        if self._reads_fail:
            await self._read(lambda connection: connection.execute(select(literal(1))))
        if self._writer.fails:
            await self._writer.put(lives.Touch(self.instance))

    def _ping(self, seconds: float) -> None:
        try:
            self._database.ask(self._engines.probe, seconds)
        except Exception as error:
            self._raise_unavailable(error)
            raise

    async def submit(self, submission: Submission) -> Submitted:
        """Create the job, or find the one of this request_id.

        Raises RequestIdReused, JobNotFound once it was deleted, QueueFull.
        """
        with self._writer.together():
            answer = self._writer.put(operations.Submit(submission, self._max_waiting))
            self._news.tell(lambda listener: listener.submitting(submission))
        return await answer

    async def submit_batch(self, batch: BatchSubmission) -> SubmittedBatch:
        """Create the jobs of a batch, or find the batch of this request_id.

        Answers when all of its jobs are on disk. It goes on where its caller is cancelled. Raises
        RequestIdReused, QueueFull.
        """
        return await self._batches.submit(batch)

    async def finish_batches(self) -> int:
        """Complete the batches that the dead have decided, and remove what they staged of others.

        Return how many were completed or removed.
        """
        return await self._batches.finish()

    async def apply(self, job_id: str, decide: Decision, *, tenant: str | None = None) -> Change:
        """Change one job. Raises JobNotFound, and what decide raises."""
        return await self._writer.put(operations.Apply(job_id, decide, tenant))

    async def delete(self, job_id: str, *, tenant: str) -> None:
        """Delete an ended job with its payload and history.

        Raises JobNotFound, JobLocked, WrongStatus.
        """
        await self._deletion.delete(job_id, tenant=tenant)

    async def purge(self, job_ids: Sequence[str], *, tenant: str) -> int:
        """Delete those of these jobs that have ended and are not locked; return how many.

        They are deleted in one transaction.
        """
        return await self._deletion.purge(job_ids, tenant=tenant)

    async def sweep(self, retention: Retention, turn: int | None) -> SweepResult:
        """Delete some of what retention lets go, in one transaction.

        Nothing is deleted when another instance has swept since `turn`.
        """
        return await self._deletion.sweep(retention, turn)

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Fill slots with ready jobs; fewer when there are fewer.

        A job that expired at its permit is answered as FAILED, and its slot goes to the next.
        """
        return await self._claimer.claim(request, prove=self._life.leased)

    def claim_along(self, request: ClaimRequest) -> Awaitable[list[Claimed]]:
        """Claim in the transaction of the submit that is just being put together.

        The claim is asked for at once; the answer may be awaited later. Nothing is taken where a
        limit would have to be held that others wait for.
        """
        return self._claimer.claim_along(request, self._writer, prove=self._life.leased)

    @property
    def nothing_waits(self) -> bool:
        """Whether no job is held or queued; never on a database that others serve too."""
        return not self._database.shared and not self._waiting.now

    async def change_gate(self, gate: Gate, fields: Mapping[str, Any]) -> Gate:
        """Change fields of the gate of this scope and name; answer it as it is now.

        What is claimed after this was answered, by any store of the database, is claimed under the
        new values.
        """
        changed = await self._writer.put(ChangeGate(gate, fields))
        self._news.gate_changed()
        return changed

    async def run_timers(self) -> int | None:
        """Promote and expire jobs whose time has come, 500 at most.

        Return the time of the next timer, past or not, or None when there is none.
        """
        return await self._due.run()

    async def recover(self, error: JobError, *, confirmed: bool) -> int:
        """Settle every job held by an instance that is not alive; return how many.

        The jobs are settled together if they can be.
        """
        return await recovery.recover(self._writer, self._read, error, confirmed=confirmed)

    async def settle(self, sent: Sequence[int], parked: Sequence[int]) -> None:
        """Remove broadcasts from the outbox, and mark those that no queue wants.

        Both are given by their places.
        """
        await self._writer.put(leadership.Settle(sent, parked))

    async def try_lead(self, *, want: bool) -> bool:
        """Return whether this instance is the one that publishes.

        `want` says that this instance would publish, if no other live instance does.
        """
        if not self._life.leased:
            return want  # there can be no other
        return await self._writer.put(leadership.TryLead(self.instance, want))


def _connect_readers(database: Dialect, engines: Engines) -> None:
    """Make every connection that reads, so that none has to be made later.

    A PostgreSQL that takes no new connections (its first process hangs, or all of its places are
    taken) still answers on those that there are.
    """
    if database.shared:
        with ExitStack() as held:
            for _ in range(database.readers):
                held.enter_context(engines.reads.connect())
