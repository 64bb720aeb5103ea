"""What time brings to jobs: those that are due are promoted or expired, together if they can be."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, literal_column, not_, select

from headrace_server.domain import expiry
from headrace_server.domain.change import chain
from headrace_server.domain.job import Job
from headrace_server.domain.ports.jobs import Decision
from headrace_server.store.sql.json_lists import among
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import timer
from headrace_server.store.tables.statement import Query
from headrace_server.store.write.derived import TimerKind
from headrace_server.store.write.operations import SWEEP_PAGE, Phase, WriteOperation
from headrace_server.store.write.passed_over import PassedOver
from headrace_server.store.write.unit_of_work import UnitOfWork
from headrace_server.store.write.writer import Read, Writer

logger = logging.getLogger(__name__)

STAY_DUE_PAUSE: Final = 60 * 1_000_000
"""Microseconds until it is tried again."""

# A later version may wait for more: that is its own to settle.
_kinds = timer.c.kind.in_([literal_column(str(int(kind))) for kind in TimerKind])

_others = not_(among(timer.c.job_id, "but"))
_due = Query(
    select(timer.c.job_id)
    .where(timer.c.at <= bindparam("now"), _kinds, _others)
    .order_by(timer.c.at)
    .limit(SWEEP_PAGE)
)
_next_timer = Query(
    # That each is behind the first time of all says that its index is to be gone along.
    select(timer.c.at)
    .where(timer.c.at > literal_column("-1"), _kinds, _others)
    .order_by(timer.c.at)
    .limit(literal_column("1"))
)

_passed: Decision = chain([expiry.promote, expiry.expire])


@dataclass(frozen=True, slots=True)
class Timers(WriteOperation[tuple[int | None, Sequence[str]]]):
    """Promote and expire what is due, oldest first.

    only: this job alone. but: leave these out, of which is known that they stay due.
    """

    phase = Phase.SWEEP
    only: str = ""
    but: frozenset[str] = frozenset()

    def apply(self, unit: UnitOfWork) -> tuple[int | None, Sequence[str]]:
        """Answer the time of the next timer, and the jobs that stay due.

        The time has passed when there were more timers than a page holds.
        """
        due = [self.only] if self.only else due_jobs(unit.connection, unit.now, self.but)
        # What another is changing is met again: its timer is still there, and in the past.
        unit.load(due, free=True)
        there = [job_id for job_id in due if unit.jobs.get(job_id) is not None]
        stay = [job_id for job_id in there if not self._pass(unit, unit.job(job_id))]
        unit.flush()
        upcoming = _next_timer(unit.connection, but=dumps([*self.but, *stay]))
        return (upcoming[0][0] if upcoming else None), stay

    def _pass(self, unit: UnitOfWork, found: Job) -> bool:
        """Whether what time brings was decided: a defect at one job keeps no other waiting."""
        if found.illegible:
            return False
        try:
            unit.fold(_passed(found, unit.now))
        except Exception:
            logger.exception("What time brings a job could not be decided", extra={"job_id": found.job_id})
            return False
        return True


def due_jobs(connection: Connection, now: int, but: Collection[str]) -> list[str]:
    """The jobs of which a timer is due, oldest first, a page at most. but: leave these out."""
    return list(dict.fromkeys(job_id for (job_id,) in _due(connection, now=now, but=dumps([*but]))))


class DueJobs:
    """The jobs of which a time comes. What stays due is passed over for a while."""

    def __init__(self, writer: Writer, read: Read, clock: Callable[[], int]) -> None:
        self._writer = writer
        self._read = read
        self._clock = clock
        self._stay_due = PassedOver(STAY_DUE_PAUSE, clock)

    async def run(self) -> int | None:
        """Promote and expire jobs whose time has come, 500 at most.

        Return the time of the next timer, past or not, or None when there is none.
        """
        but = self._stay_due.now()
        if together := await self._writer.try_put(Timers(but=but)):
            upcoming, stay = together[0]
        else:
            now = self._clock()
            for job_id in await self._read(lambda connection: due_jobs(connection, now, but)):
                if not await self._writer.try_put(Timers(only=job_id)):
                    self._stay_due.add([job_id])
            upcoming, stay = await self._writer.put(Timers(but=self._stay_due.now()))
        self._stay_due.add(stay)
        return min((at for at in (upcoming, self._stay_due.next()) if at is not None), default=None)
