"""What callers ask of the writer: each kind of work says what it must read first, and then decides.

    FOLD     Submit · Apply · Delete · Purge      in the order in which they came
             ChangeGate
    SWEEP    Timers · Recover · retention.Sweep   what time has brought, or a death
             Touch                                to see whether the database takes a write
    CLAIM    claims.Claim                         last: a stop that came in the same moment has won

Work is carried out again from the start when its transaction was rolled back, so it keeps nothing of it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, literal_column, not_, select

from headrace_server.domain import expiry, requests, running
from headrace_server.domain.change import Change, chain
from headrace_server.domain.errors import QueueFull, RequestIdReused
from headrace_server.domain.gate import Gate
from headrace_server.domain.job import Job, JobError, Status
from headrace_server.domain.ports.cluster import Instance
from headrace_server.domain.ports.jobs import Decision, Submission, Submitted
from headrace_server.domain.query import FullJob, Payload
from headrace_server.store import gates
from headrace_server.store.cluster import instances
from headrace_server.store.sql.json_lists import among
from headrace_server.store.tables.payloads import read_payloads
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import job, timer
from headrace_server.store.tables.statement import Query, distinct
from headrace_server.store.write.derived import TimerKind
from headrace_server.store.write.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)

SWEEP_PAGE: Final = 500
"""Jobs that a sweep takes at a time: what one UPDATE and one answer carry well."""

Answer = TypeVar("Answer")


_WAITING: Final[Sequence[ColumnElement[int]]] = [
    literal_column(str(int(status))) for status in (Status.PENDING, Status.QUEUED)
]

_tenant = distinct(job.c.tenant)
_waiting = Query(
    # An outer join begins with the tenants, whatever a planner thinks of the table.
    select(func.count(job.c.job_id)).select_from(
        _tenant.outerjoin(job, and_(job.c.tenant == _tenant.c.tenant, job.c.status.in_(_WAITING)))
    )
)


def count_waiting(connection: Connection) -> int:
    """How many jobs are held or queued. It skips from tenant to tenant: what has ended is not walked over."""
    ((count,),) = _waiting(connection)
    return int(count)


class Phase(IntEnum):
    """When in its batch a kind of work is carried out."""

    FOLD = 1
    SWEEP = 2
    CLAIM = 3


class WriteOperation(ABC, Generic[Answer]):
    """One thing asked of the writer."""

    phase: ClassVar[Phase]

    def job_ids(self) -> Iterable[str]:
        """The jobs it looks at: they are read for the whole batch at once."""
        return ()

    def request_keys(self) -> Iterable[tuple[str, str]]:
        """The (tenant, request_id) it looks at, likewise."""
        return ()

    @abstractmethod
    def apply(self, unit: UnitOfWork) -> Answer:
        """Decide, fold what was decided, and answer. A refusal (ControlError, StaleClaim) has folded nothing."""


@dataclass(frozen=True, slots=True)
class Submit(WriteOperation[Submitted]):
    """Create a job, or find the one that its request_id has made."""

    phase = Phase.FOLD
    submission: Submission
    most: int
    """How many jobs may wait, this one included."""

    def request_keys(self) -> Iterable[tuple[str, str]]:
        """Its own, if it has one."""
        asked = self.submission
        return [(asked.tenant, asked.request_id)] if asked.request_id else ()

    def apply(self, unit: UnitOfWork) -> Submitted:
        """Answer the new job, or the one there is as it stands. Raises RequestIdReused, JobNotFound, QueueFull."""
        asked = self.submission
        made = unit.requests.get((asked.tenant, asked.request_id))
        if made is not None:
            return self._existing(unit, *made)
        if unit.waiting >= self.most:
            raise QueueFull(
                f"{self.most} jobs wait on this server already (max_waiting_jobs): try again when some have run."
            )
        change = requests.create(asked.job_id, asked.tenant, asked.spec, unit.now, hold=asked.hold)
        unit.submit(asked, change)
        return Submitted(FullJob(change.job, Payload(asked.parameters, None, {})), existing=False)

    def _existing(self, unit: UnitOfWork, job_id: str, digest: str) -> Submitted:
        if digest != self.submission.digest:
            raise RequestIdReused(self.submission.request_id, job_id)
        found = unit.job(job_id)
        unit.flush()  # The payload is read from the database: the batch may have added to it.
        return Submitted(FullJob(found, read_payloads(unit.connection, [job_id])[job_id]), existing=True)


@dataclass(frozen=True, slots=True)
class Apply(WriteOperation[Change]):
    """Change one job."""

    phase = Phase.FOLD
    job_id: str
    decide: Decision
    tenant: str | None

    def job_ids(self) -> Iterable[str]:
        """The job."""
        return (self.job_id,)

    def apply(self, unit: UnitOfWork) -> Change:
        """Answer what has become of the job. Raises JobNotFound, WrongStatus for one that cannot be read, and what decide raises."""
        found = unit.job(self.job_id, self.tenant)
        if self.tenant is not None:
            # A caller's wish. Whoever runs it may still write what has become of the run: else it would run for ever.
            requests.check_legible(found)
        return unit.fold(self.decide(found, unit.now))


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


@dataclass(frozen=True, slots=True)
class ChangeGate(WriteOperation[Gate]):
    """Change what is said of a queue, a tenant or a type."""

    phase = Phase.FOLD
    gate: Gate
    """Which one: as it is when nothing was said of it yet."""
    fields: Mapping[str, Any]

    def apply(self, unit: UnitOfWork) -> Gate:
        """Answer the gate as it is now."""
        unit.wrote = True
        return gates.change(unit.connection, self.gate, self.fields)


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
        """Answer the time of the next timer, which has passed when there were more than a page; and the jobs that stay due."""
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


@dataclass(frozen=True, slots=True)
class Recover(WriteOperation[int]):
    """Settle what is held by instances that are not alive, in pages of one transaction; answer how many jobs.

    only: this job alone. in_short: without what cannot be written as it is, see running.end_in_short.
    """

    phase = Phase.SWEEP
    error: JobError
    confirmed: bool
    only: str = ""
    in_short: bool = False

    def apply(self, unit: UnitOfWork) -> int:
        """Answer how many jobs were held. One that another is changing is left to him, and to the next time."""
        count = 0
        last = ""
        while page := instances.left_behind(unit.connection, last, SWEEP_PAGE):
            last = page[-1][0]
            page = [(job_id, holder) for job_id, holder in page if not self.only or job_id == self.only]
            unit.load((job_id for job_id, _ in page), free=True)
            for job_id, holder in page:
                found = unit.jobs.get(job_id)
                if found is not None and running.holds(found, found.claim, holder):
                    unit.fold(self._settled(found, unit.now))
                    count += 1
            unit.flush()
        return count

    def _settled(self, found: Job, now: int) -> Change:
        """What becomes of it: a defect at one job keeps no other from being settled, and no server from starting."""
        try:
            if found.status is Status.TO_BE_RUN or not (self.in_short or found.illegible):
                # Of one that is TO_BE_RUN no code has run: it goes back, for whoever can read it.
                return running.recover(found, now, error=self.error, confirmed=self.confirmed)
        except Exception:
            logger.exception("A lost run could not be settled as it is", extra={"job_id": found.job_id})
        return running.end_in_short(
            found, now, claim=found.claim, instance=found.instance, error=self.error, confirmed=self.confirmed
        )


@dataclass(frozen=True, slots=True)
class Join(WriteOperation[None]):
    """Begin a life as `me`; the one before it, if there was one, has ended. alone: there are no others."""

    phase = Phase.SWEEP
    me: Instance
    before: str
    numbers: Sequence[int]
    alone: bool

    def apply(self, unit: UnitOfWork) -> None:
        """Write the row."""
        unit.wrote = True
        instances.leave(unit.connection, self.before)
        instances.join(unit.connection, self.me, self.numbers, unit.now, alone=self.alone)


@dataclass(frozen=True, slots=True)
class Leave(WriteOperation[None]):
    """End a life."""

    phase = Phase.SWEEP
    me: str

    def apply(self, unit: UnitOfWork) -> None:
        """Take the row away."""
        unit.wrote = True
        instances.leave(unit.connection, self.me)


@dataclass(frozen=True, slots=True)
class Touch(WriteOperation[None]):
    """Write something, to see whether that can be done."""

    phase = Phase.SWEEP
    me: str

    def apply(self, unit: UnitOfWork) -> None:
        """Write one's own row as it is."""
        unit.wrote = True
        instances.touch(unit.connection, self.me)
