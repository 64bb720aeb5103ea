"""Answers: the questions of domain.ports, each in a transaction of its own that writes nothing.

They are asked on threads of their own and never wait for the writer, nor it for them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from headrace_server.domain.broadcast import Backlog, Unsent
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import Event
from headrace_server.domain.gate import Gate, QueueStats, Scope
from headrace_server.domain.job import Job
from headrace_server.domain.ports.cluster import Instance
from headrace_server.domain.ports.jobs import Page
from headrace_server.domain.query import Counts, Filter, FullJob, Group
from headrace_server.store import gates
from headrace_server.store.cluster import instances
from headrace_server.store.outbox import rows
from headrace_server.store.read import listing, one_job, queue_stats
from headrace_server.store.sql import Dialect
from headrace_server.store.sql.transaction import transaction

Answer = TypeVar("Answer")

NEWER_PAGE: Final = 1000
"""Jobs asked for at a time: what one answer carries well."""


class Reader:
    """The queries that a store answers without writing.

    See domain.ports for what each method promises.
    """

    def __init__(self, database: Dialect, engine: Engine) -> None:
        self._database = database
        self._reads = engine
        self._readers = ThreadPoolExecutor(database.readers, thread_name_prefix="store-reader")
        self._closed = False
        self._reads_fail = False
        """Whether the latest read has met trouble of the database."""

    async def get(self, job_id: str, *, tenant: str, payload: bool) -> FullJob:
        """One job. Raises JobNotFound."""
        return await self._read(lambda connection: one_job.get(connection, job_id, tenant, payload=payload))

    async def find(self, page: Page) -> list[FullJob]:
        """The jobs of one page."""
        return await self._read(lambda connection: listing.find(connection, page))

    async def count(self, tenant: str | None, which: Filter, groups: Sequence[Group]) -> Counts:
        """Counts of the jobs that match."""
        return await self._read(lambda connection: listing.count(connection, tenant, which, groups))

    async def events(self, job_id: str, *, after: int, limit: int) -> list[Event]:
        """Events of a job after a revision, oldest first."""
        return await self._read(lambda connection: one_job.events(connection, job_id, after, limit))

    async def newer(self, known: Mapping[str, int]) -> tuple[list[Job], list[str]]:
        """Return the known jobs that have moved on, and the ids of those that are gone.

        `known` maps job ids to revisions. A job has moved on when it has another revision by now,
        or shows progress.
        """
        pairs = list(known.items())
        pages = [pairs[first : first + NEWER_PAGE] for first in range(0, len(pairs), NEWER_PAGE)]
        found: list[Job] = []
        gone: list[str] = []
        for page in pages:
            there, missing = await self._read(lambda connection, page=page: one_job.newer(connection, page))  # type: ignore[misc] # mypy knows no defaults of lambdas
            found += there
            gone += missing
        return found, gone

    async def instances(self, *, held: bool = True) -> list[Instance]:
        """Return the live instances and those that died lately, oldest first.

        `held` asks for the number of their runs too.
        """
        return await self._read(lambda connection: instances.everyone(connection, held=held))

    async def find_gates(self, *, after: str, limit: int) -> Sequence[Gate]:
        """The gates of which anything was said behind a key, by scope and name."""
        return await self._read(lambda connection: gates.page(connection, after=after, limit=limit))

    async def traffic(self, scope: Scope, *, after: str, limit: int) -> Sequence[QueueStats]:
        """Return the activity of the queues or tenants after a name, in order of name."""
        return await self._read(
            lambda connection: queue_stats.read(connection, scope, after=after, limit=limit)
        )

    async def unsent(self, *, after: int, parked: bool, limit: int) -> Unsent:
        """A page of the outbox."""
        return await self._read(
            lambda connection: rows.unsent(connection, after=after, parked=parked, limit=limit)
        )

    async def backlog(self) -> Backlog:
        """Return how much waits in the outbox."""
        return await self._read(rows.backlog)

    async def _read(self, question: Callable[[Connection], Answer]) -> Answer:
        """Run a query in a transaction of its own, on a reader's thread.

        A reader that lingers lets the log grow.
        """
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._ask, question)

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer:
        try:
            with transaction(self._reads) as connection:
                answer = question(connection)
        except Exception as error:
            if self._database.reads_on(error):
                return self._ask(question)
            self._reads_fail = bool(self._database.unavailable_reason(error))
            self._raise_unavailable(error)
            raise
        self._reads_fail = False
        return answer

    def _raise_unavailable(self, error: Exception) -> None:
        """Raise StoreUnavailable if trouble of the database made a read fail.

        No code is at fault then.
        """
        if reason := self._database.unavailable_reason(error):
            raise StoreUnavailable(f"The database cannot be read now: {reason}.") from error
