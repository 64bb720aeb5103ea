"""Retention: jobs that ended long enough ago are deleted, by one instance at a time.

    instance A   sweep(7) ─> turn 7 = 7: deletes, turn 8 ─> sweep(8): deletes, turn 9 ─> nothing left      …
    instance B                                   sweep(7) ─> turn 9: another sweeps; looks again in a minute with 9

`duty` has a row that is held for the length of each transaction and counts those that deleted
something. Whoever comes with the turn that he saw last may sweep; whoever finds another turn knows
that somebody has swept since, and lets a period go by. So however many instances there are, they
sweep as often as one would, the next begins when the one that swept has gone, and no clock but each
one's own sense of a period decides.

A sweep is many small transactions, each of a hundred jobs at most that an index finds: whoever
submits or claims waits for one of them at most. Locked jobs are not in that index. What another is
changing at the moment is left out.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, bindparam, delete, not_, select, update

from headrace_server.domain import requests
from headrace_server.domain.errors import ControlError
from headrace_server.domain.ports.retention import SweepResult
from headrace_server.domain.requests import hides
from headrace_server.domain.retention import PORTION_JOBS, Retention, portion
from headrace_server.store.sql.json_lists import among
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import ENDED, FORGOTTEN, duty, job, request
from headrace_server.store.tables.statement import Bulk, Query
from headrace_server.store.write.operations import Phase, WriteOperation
from headrace_server.store.write.passed_over import PassedOver
from headrace_server.store.write.unit_of_work import UnitOfWork
from headrace_server.store.write.writer import Read, Writer

log = logging.getLogger(__name__)

UNDELETED: Final = "A job cannot be deleted: the database refuses it"
UNDELETED_MAX: Final = 1000
"""Jobs that a sweep passes over since the database refuses to delete them."""
UNDELETED_PAUSE: Final = 3600 * 1_000_000
"""Microseconds until it is tried again."""

DUTY: Final = "retention"
_NOBODY_KNOWS: Final = -1
"""The turn of one who could not look: none is like it."""

_turn = Query(select(duty.c.turn).where(duty.c.name == bindparam("name")).with_for_update(skip_locked=True))
_set_turn = Bulk(
    update(duty).values(turn=bindparam("new")).where(duty.c.name == bindparam("key")), ("new", "key")
)
_ended = Query(
    select(job.c.job_id)
    .where(
        ENDED,
        job.c.status == bindparam("status"),
        job.c.end_time < bindparam("before"),
        not_(among(job.c.job_id, "but")),
    )
    .order_by(job.c.end_time)
    .limit(bindparam("most"))
)
_forgotten = Query(
    select(request.c.tenant, request.c.request_id)
    .where(FORGOTTEN, request.c.forget_at <= bindparam("now"))
    .order_by(request.c.forget_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_forget = Bulk(
    delete(request).where(
        request.c.tenant == bindparam("of_tenant"), request.c.request_id == bindparam("named")
    ),
    ("of_tenant", "named"),
)


@dataclass(frozen=True, slots=True)
class Sweep(WriteOperation[tuple[SweepResult, Sequence[str]]]):
    """Delete a portion of what may go, if nobody has swept since `turn`.

    only: this job alone. but: leave these out, which could not be deleted.
    """

    phase = Phase.SWEEP
    retention: Retention
    turn: int | None
    only: str = ""
    but: Collection[str] = ()

    def apply(self, unit: UnitOfWork) -> tuple[SweepResult, Sequence[str]]:
        """Answer what was deleted, the next turn, and jobs that stay.

        They stay because this version cannot read them.
        """
        connection = unit.connection
        found = _turn(connection, name=DUTY)
        if not found:  # Another is sweeping in this moment.
            return SweepResult(_NOBODY_KNOWS if self.turn is None else self.turn, mine=False), ()
        ((turn,),) = found
        if self.turn not in (None, turn):
            return SweepResult(turn, mine=False), ()
        due = [self.only] if self.only else ended(connection, self.retention, unit.now, self.but)
        unit.load(due, free=True)
        there = [job for job_id in due if (job := unit.jobs.get(job_id)) is not None]
        illegible = [job.job_id for job in there if hides(job)]
        gone = portion(there)
        for found_job in gone:
            unit.delete(found_job)
        forgotten = () if self.only else _forgotten(connection, now=unit.now, most=PORTION_JOBS)
        more = bool(gone or illegible) and (len(gone) < len(due) or len(due) == PORTION_JOBS)
        if not (gone or forgotten):
            return SweepResult(turn, mine=True, more=more), illegible
        _forget(connection, forgotten)
        _set_turn(connection, [(turn + 1, DUTY)])
        unit.wrote = True
        more = more or len(forgotten) == PORTION_JOBS
        return SweepResult(turn + 1, mine=True, jobs=len(gone), more=more), illegible


def ended(connection: Connection, retention: Retention, now: int, but: Collection[str]) -> list[str]:
    """Jobs whose retention is over, a portion at most. but: leave these out."""
    due: list[str] = []
    for status, before in retention.bounds(now):
        room = PORTION_JOBS - len(due)
        found = _ended(connection, status=int(status), before=before, but=dumps(list(but)), most=room)
        due += [job_id for (job_id,) in found]
        if len(due) == PORTION_JOBS:
            break
    return due


@dataclass(frozen=True, slots=True)
class Delete(WriteOperation[None]):
    """Delete an ended job."""

    phase = Phase.FOLD
    job_id: str
    tenant: str

    def job_ids(self) -> Iterable[str]:
        """The job."""
        return (self.job_id,)

    def apply(self, unit: UnitOfWork) -> None:
        """Raises JobNotFound, JobLocked, WrongStatus."""
        found = unit.job(self.job_id, self.tenant)
        requests.check_delete(found)
        unit.delete(found)


@dataclass(frozen=True, slots=True)
class Purge(WriteOperation[int]):
    """Delete those of these jobs that may be deleted."""

    phase = Phase.FOLD
    wanted: Sequence[str]
    tenant: str

    def job_ids(self) -> Iterable[str]:
        """The jobs."""
        return self.wanted

    def apply(self, unit: UnitOfWork) -> int:
        """Answer how many they were."""
        found = (unit.jobs.get(job_id) for job_id in self.wanted)
        gone = [
            one for one in found if one is not None and one.tenant == self.tenant and requests.may_delete(one)
        ]
        for ended in gone:
            unit.delete(ended)
        return len(gone)


class Deletion:
    """Jobs that are deleted, together if they can be, else job by job.

    What cannot be deleted is passed over for a while.
    """

    def __init__(self, writer: Writer, read: Read, clock: Callable[[], int]) -> None:
        self._writer = writer
        self._read = read
        self._clock = clock
        self._undeleted = PassedOver(UNDELETED_PAUSE, clock)

    async def delete(self, job_id: str, *, tenant: str) -> None:
        """Delete an ended job with its payload and history.

        Raises JobNotFound, JobLocked, WrongStatus.
        """
        await self._writer.put(Delete(job_id, tenant))

    async def purge(self, job_ids: Sequence[str], *, tenant: str) -> int:
        """Delete those of these jobs that have ended and are not locked; return how many.

        They are deleted in one transaction.
        """
        if together := await self._writer.try_put(Purge(job_ids, tenant)):
            return together[0]
        gone = 0
        for job_id in job_ids:
            done = await self._writer.try_put(Purge([job_id], tenant))
            if not done:
                log.error(UNDELETED, extra={"job_id": job_id})
            gone += sum(done)
        return gone

    async def sweep(self, retention: Retention, turn: int | None) -> SweepResult:
        """Delete some of what retention lets go, in one transaction.

        Nothing is deleted when another instance has swept since `turn`.
        """
        but = self._undeleted.now()
        try:
            swept, illegible = await self._writer.put(Sweep(retention, turn, but=but))
        except ControlError:
            raise
        except Exception:
            now = self._clock()
            due = await self._read(lambda connection: ended(connection, retention, now, but))
            if not due or len(but) >= UNDELETED_MAX:
                raise
            return await self._sweep_singly(retention, turn, due)
        self._undeleted.add(illegible)
        return swept

    async def _sweep_singly(self, retention: Retention, turn: int | None, due: Sequence[str]) -> SweepResult:
        """Job by job; what the database refuses to delete is looked at again in an hour."""
        jobs = 0
        for job_id in due:
            done = await self._writer.try_put(Sweep(retention, turn, only=job_id))
            if not done:
                log.error(UNDELETED, extra={"job_id": job_id})
            if not done or done[0][1]:
                self._undeleted.add([job_id])
            for swept, _ in done:
                turn, jobs = swept.turn, jobs + swept.jobs
                if not swept.mine:
                    return replace(swept, jobs=jobs)
        if turn is None:  # not one of them could be deleted
            return await self.sweep(retention, turn)
        return SweepResult(turn, mine=True, jobs=jobs, more=True)
