"""`ready` and `timer`: what follows from the jobs, kept by difference.

Which rows a job has there is a function of the job alone. The job as stored says which rows there
are, the job as it will be says which there shall be; what differs is written, in the transaction
that writes the job. Nobody edits these tables, so they cannot drift from the jobs.
"""

from collections.abc import Callable
from enum import IntEnum

from sqlalchemy import Connection, Table

from headrace_server.domain.expiry import expires
from headrace_server.domain.job import Job, Status
from headrace_server.store.tables import schema
from headrace_server.store.tables.statement import Row, delete_by, insert_into


class TimerKind(IntEnum):
    """What a row of `timer` waits for."""

    DUE = 1
    EXPIRE = 2


def ready_rows(job: Job) -> tuple[Row, ...]:
    """Return the row of a job that may be claimed.

    Its age counts from its first release, retries included.
    """
    if not job.ready:
        return ()
    return ((job.queue, job.type, job.tenant, -job.priority, job.queue_time, job.job_id, job.owner),)


def timer_rows(job: Job) -> tuple[Row, ...]:
    """The rows of a job whose time is still to come: at most one of each kind."""
    if job.due_time is None and job.expire_time is None:
        return ()
    due = job.due_time is not None and job.status is Status.QUEUED
    return (
        *(((job.due_time, int(TimerKind.DUE), job.job_id),) if due else ()),
        *(((job.expire_time, int(TimerKind.EXPIRE), job.job_id),) if expires(job) else ()),
    )


class _Derived:
    """A derived table; its key comes first in its columns."""

    def __init__(self, table: Table, rows_of: Callable[[Job], tuple[Row, ...]]) -> None:
        self._rows_of = rows_of
        self._key = len(table.primary_key)
        self._insert = insert_into(table)
        self._delete = delete_by(table, table.primary_key.columns.keys())

    def write(self, connection: Connection, jobs: list[tuple[Job | None, Job]]) -> None:
        gone: list[Row] = []
        new: list[Row] = []
        for before, after in jobs:
            there = self._rows_of(before) if before is not None else ()
            wanted = self._rows_of(after)
            if there != wanted:
                gone += (row[: self._key] for row in there if row not in wanted)
                new += (row for row in wanted if row not in there)
        self._delete(connection, gone)
        self._insert(connection, new)


_READY = _Derived(schema.ready, ready_rows)
_TIMER = _Derived(schema.timer, timer_rows)


def write_differences(connection: Connection, jobs: list[tuple[Job | None, Job]]) -> None:
    """Bring both tables from the jobs as stored (None: not yet) to the jobs as they will be."""
    _READY.write(connection, jobs)
    _TIMER.write(connection, jobs)
