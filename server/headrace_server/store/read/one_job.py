"""Reads of one job and its history. Each is a transaction of its own, as short as its answer is."""

from collections.abc import Sequence

from sqlalchemy import Connection, Integer, bindparam, cast, select

from headrace_server.domain.errors import JobNotFound
from headrace_server.domain.event import Event
from headrace_server.domain.job import Job
from headrace_server.domain.query import FullJob
from headrace_server.store.sql.json_lists import pairs
from headrace_server.store.tables import rows
from headrace_server.store.tables.payloads import read_payloads
from headrace_server.store.tables.schema import job, job_event
from headrace_server.store.tables.statement import Query

_job = Query(
    select(*rows.JOB_COLUMNS).where(job.c.job_id == bindparam("job_id"), job.c.tenant == bindparam("tenant"))
)
_events = Query(
    select(
        job_event.c.job_id,
        job.c.tenant,
        job.c.type,
        job_event.c.revision,
        job_event.c.at,
        job_event.c.attempt,
        job_event.c.status,
        job_event.c.kind,
        job_event.c.body,
    )
    .join(job, job.c.job_id == job_event.c.job_id)
    .where(job_event.c.job_id == bindparam("job_id"), job_event.c.revision > bindparam("after"))
    .order_by(job_event.c.revision)
    .limit(bindparam("limit"))
)


_known = pairs("known")
_newer = Query(
    # An outer join begins with the known ones, and finds those whose row is gone.
    select(_known.c.first, job.c.job_id, *rows.JOB_COLUMNS)
    .outerjoin_from(_known, job, job.c.job_id == _known.c.first)
    .where(
        job.c.job_id.is_(None)
        | (job.c.revision > cast(_known.c.second, Integer))
        | job.c.progress.is_not(None)
    )
)


def get(connection: Connection, job_id: str, tenant: str, *, payload: bool) -> FullJob:
    """One job. Raises JobNotFound, for one of another tenant too."""
    found = _job(connection, job_id=job_id, tenant=tenant)
    if not found:
        raise JobNotFound(job_id)
    return FullJob(rows.job_of(found[0]), read_payloads(connection, [job_id])[job_id] if payload else None)


def newer(connection: Connection, known: Sequence[tuple[str, int]]) -> tuple[list[Job], list[str]]:
    """Return the known jobs that have moved on, and the ids of those that are gone.

    `known` lists job ids with revisions. A job has moved on when it has another revision by now, or
    shows progress.
    """
    found = _newer(connection, known=rows.dumps(known))
    gone = [job_id for job_id, stored, *_ in found if stored is None]
    return [rows.job_of(row) for _, stored, *row in found if stored is not None], gone


def events(connection: Connection, job_id: str, after: int, limit: int) -> list[Event]:
    """Events of a job after a revision, oldest first."""
    return [rows.event_of(row) for row in _events(connection, job_id=job_id, after=after, limit=limit)]
