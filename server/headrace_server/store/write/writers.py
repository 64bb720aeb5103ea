"""The writers of one store, and the number of waiting jobs that they keep together.

There is one for everything. On a database that others serve too, claims have one of their own.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, Engine, literal, select

from headrace_server.domain.change import Change
from headrace_server.store.sql import Dialect, Engines
from headrace_server.store.write import operations
from headrace_server.store.write.commit_order import CommitOrder
from headrace_server.store.write.unit_of_work import Beside
from headrace_server.store.write.waiting_count import WaitingCount
from headrace_server.store.write.writer import Writer

LOOK_SECONDS: Final = 1.0
"""So long a count of what waits lets commits end before it begins, and holds others up; then the
next one tries.
"""


class Writers:
    """The writers, on the thread of the running event loop. Nothing is written before `start`."""

    def __init__(
        self,
        database: Dialect,
        engines: Engines,
        *,
        numbers: Sequence[int],
        waiting: int,
        announcer: Beside | None,
        clock: Callable[[], int],
        on_commit: Callable[[Sequence[Change]], None],
    ) -> None:
        self.waiting = WaitingCount(waiting)
        self._order = CommitOrder()
        self._all = [
            Writer(
                engine,
                asyncio.get_running_loop(),
                database=database,
                number=number,
                waiting=self.waiting,
                order=self._order,
                announcer=announcer,
                clock=clock,
                on_commit=on_commit,
            )
            for engine, number in zip(writing(engines), numbers, strict=True)
        ]
        self.first, self.claims = self._all[0], self._all[-1]

    def start(self) -> None:
        """All of them or none: a store that could not be opened leaves no thread behind."""
        try:
            for writer in self._all:
                writer.start()
        except BaseException:
            for writer in self._all:
                writer.abandon()
            raise

    async def close(self) -> None:
        """Write and answer what was asked for; refuse what comes after."""
        await asyncio.gather(*(one.close() for one in self._all))

    def count_waiting(self, begin: Callable[[], None], connection: Connection) -> int:
        """Count what waits, for WaitingCount.recount; `begin` is called between two commits."""
        with self._order.between(LOOK_SECONDS):
            connection.execute(select(literal(1)))  # its view of the database begins with its first statement
            begin()
        return operations.count_waiting(connection)


def writing(engines: Engines) -> list[Engine]:
    """The engines that write: where claims have none of their own there is one."""
    return list(dict.fromkeys((engines.writes, engines.claims)))
