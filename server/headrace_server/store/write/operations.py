"""The work that callers ask of the writer.

Each kind of work says what it must read first, and then decides.

    FOLD     Submit · Apply                                in the order in which they came
             retention: Delete · Purge
             gates.ChangeGate · outbox.leadership: Settle · TryLead
    SWEEP    due.Timers · retention.Sweep                  what time has brought
             cluster: recovery.Recover · lives: Join · Leave · Touch
    CLAIM    claim.claims.Claim                            last: a stop that came in the same moment has won

What is asked for of one feature stands beside the SQL of that feature.

Work is carried out again from the start when its transaction was rolled back, so it keeps nothing
of it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, select

from headrace_server.domain import requests
from headrace_server.domain.change import Change
from headrace_server.domain.errors import QueueFull, RequestIdReused
from headrace_server.domain.job import Status
from headrace_server.domain.ports.jobs import Decision, Submission, Submitted
from headrace_server.domain.query import FullJob, Payload
from headrace_server.store.tables.payloads import read_payloads
from headrace_server.store.tables.schema import job, staged_batch, staged_piece
from headrace_server.store.tables.statement import Query, distinct
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


_decided = Query(
    select(func.coalesce(func.sum(staged_piece.c.jobs), literal_column("0"))).where(
        staged_piece.c.batch_id == staged_batch.c.batch_id, staged_batch.c.decide_time.is_not(None)
    )
)


def count_waiting(connection: Connection) -> int:
    """Return how many jobs are held or queued, those included that a decided batch is to bring.

    It skips from tenant to tenant, and does not walk over what has ended.
    """
    ((count,),) = _waiting(connection)
    ((decided,),) = _decided(connection)
    return int(count) + int(decided)


def check_room(unit: UnitOfWork, most: int, count: int) -> None:
    """Raise QueueFull unless so many more jobs may wait."""
    if unit.waiting + count > most:
        full = f"{most} jobs wait on this server already"
        if count > 1:
            full = (
                f"{unit.waiting} jobs wait on this server already, at most {most} may, and these are {count}"
            )
        raise QueueFull(f"{full} (max_waiting_jobs): try again when some have run.")


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
        """Decide, fold what was decided, and return the answer.

        A refusal (ControlError, StaleClaim) has folded nothing.
        """


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
        """Return the new job, or the existing one as it stands.

        Raises RequestIdReused, JobNotFound, QueueFull.
        """
        asked = self.submission
        made = unit.requests.get((asked.tenant, asked.request_id))
        if made is not None:
            return self._existing(unit, *made)
        check_room(unit, self.most, 1)
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
        """Return what has become of the job.

        Raises JobNotFound, WrongStatus for a job that cannot be read, and what `decide` raises.
        """
        found = unit.job(self.job_id, self.tenant)
        if self.tenant is not None:
            # A caller's wish. Whoever runs it may still write what has become of the run: else it
            # would run for ever.
            requests.check_legible(found)
        return unit.fold(self.decide(found, unit.now))
