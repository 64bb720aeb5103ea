"""Reads of many jobs: filters, pages by key, counts.

A page goes on behind the sort key and the id of its last job, so jobs that come and go meanwhile
shift nothing: a job that keeps its key is shown exactly once.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from headrace_server.domain.job import Status
from headrace_server.domain.open_enum import word
from headrace_server.domain.ports.jobs import Page
from headrace_server.domain.query import COUNT_LIMIT, Counts, Filter, FullJob, Group, Order, ParameterFilter
from headrace_server.store import sql
from headrace_server.store.sql import Dialect, begins
from headrace_server.store.tables import rows
from headrace_server.store.tables.payloads import read_payloads
from headrace_server.store.tables.schema import BATCHED, job, job_parameters

_ORDERS: Final[Mapping[Order, tuple[Column[Any], bool]]] = {
    Order.CREATE_TIME_DESC: (job.c.create_time, True),
    Order.CREATE_TIME_ASC: (job.c.create_time, False),
    Order.STATUS_TIME_DESC: (job.c.status_time, True),
    Order.STATUS_TIME_ASC: (job.c.status_time, False),
    Order.PRIORITY_DESC: (job.c.priority, True),
    Order.PRIORITY_ASC: (job.c.priority, False),
}
"""Each order as its column and whether it descends."""

_BATCHED: Final[ColumnElement[bool]] = literal_column(BATCHED.text)
"""Said once more, or the index of those alone would not serve."""

_GROUPS: Final[Mapping[Group, Column[Any]]] = {
    Group.STATUS: job.c.status,
    Group.TYPE: job.c.type,
    Group.TENANT: job.c.tenant,
    Group.OWNER: job.c.owner,
    Group.QUEUE: job.c.queue,
}


def find(connection: Connection, page: Page) -> list[FullJob]:
    """The jobs of one page."""
    jobs = [rows.job_of(row) for row in connection.execute(page_query(page, sql.of(connection)))]
    if not page.payload:
        return [FullJob(found) for found in jobs]
    payloads = read_payloads(connection, [found.job_id for found in jobs])
    return [FullJob(found, payloads[found.job_id]) for found in jobs]


def page_query(page: Page, database: Dialect) -> Select[Any]:
    """The query of one page."""
    column, descending = _ORDERS[page.order]
    key = (column, job.c.job_id)
    query = (
        select(*rows.JOB_COLUMNS).where(*_conditions(database, page.tenant, page.filter)).limit(page.limit)
    )
    if page.after is not None:
        here = tuple_(*key)
        query = query.where(here < page.after if descending else here > page.after)
    return query.order_by(*(part.desc() if descending else part for part in key))


def count(connection: Connection, tenant: str | None, which: Filter, groups: Sequence[Group]) -> Counts:
    """Counts of the jobs that match; of the first COUNT_LIMIT of them when there are more."""
    columns = [_GROUPS[group] for group in groups]
    matching = select(job.c.job_id, *columns).where(*_conditions(sql.of(connection), tenant, which))
    counted = matching.limit(COUNT_LIMIT).subquery()
    keys = [counted.c[column.name] for column in columns]
    found = connection.execute(select(*keys, func.count(counted.c.job_id)).group_by(*keys)).all()
    total = sum(size for *_, size in found)
    named = ((tuple(map(_key, groups, key)), size) for *key, size in found if groups)
    at_least = total == COUNT_LIMIT and bool(connection.scalar(select(matching.offset(COUNT_LIMIT).exists())))
    return Counts(tuple(sorted(named, key=_largest_first)), total, at_least=at_least)


def _largest_first(group: tuple[tuple[str, ...], int]) -> tuple[int, tuple[str, ...]]:
    return -group[1], group[0]


def _key(group: Group, value: Any) -> str:
    return word(Status, value).name if group is Group.STATUS else str(value)


def _conditions(database: Dialect, tenant: str | None, which: Filter) -> Iterator[ColumnElement[bool]]:
    if tenant is not None:
        yield job.c.tenant == tenant
    lists: list[tuple[Column[Any], Sequence[Any]]] = [
        (job.c.status, [int(status) for status in which.statuses]),
        (job.c.owner, which.owners),
        (job.c.queue, which.queues),
        (job.c.session_id, which.session_ids),
        (job.c.job_id, which.job_ids),
    ]
    for column, wanted in lists:
        if wanted:
            yield column.in_(wanted)
    yield from _of_batches(which.batch_ids)
    if which.types:
        yield _of_types(which.types)
    for name, text in which.labels.items():
        yield database.entry_equals(job.c.labels, name, text)
    ranges = [
        (job.c.create_time, which.create_time_from, which.create_time_to),
        (job.c.status_time, which.status_time_from, which.status_time_to),
    ]
    for column, start, end in ranges:
        if start is not None:
            yield column >= start
        if end is not None:
            yield column < end
    for parameter in which.parameters:
        yield _with_parameter(database, parameter)


def _of_batches(batch_ids: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    if batch_ids:
        yield job.c.batch_id.in_(batch_ids)
        yield _BATCHED


def _of_types(types: Sequence[str]) -> ColumnElement[bool]:
    exact = [name for name in types if not name.endswith("*")]
    prefixes = [name.removesuffix("*") for name in types if name.endswith("*")]
    return or_(
        job.c.type.in_(exact) if exact else false(),
        *(begins(job.c.type, prefix) for prefix in prefixes),
    )


def _with_parameter(database: Dialect, wanted: ParameterFilter) -> ColumnElement[bool]:
    if wanted.prefix is not None:
        holds = database.entry_begins(job_parameters.c.body, wanted.name, wanted.prefix)
    else:
        holds = database.entry_equals(job_parameters.c.body, wanted.name, wanted.equals)
    return select(job_parameters.c.job_id).where(job_parameters.c.job_id == job.c.job_id, holds).exists()
