"""The activity of queues and tenants: which there are, and how much waits and runs.

Each read is bounded.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from headrace_server.domain.gate import WAITING_LIMIT, Gate, QueueStats, Scope
from headrace_server.store import gates
from headrace_server.store.claim import candidates
from headrace_server.store.claim.candidates import Kind
from headrace_server.store.sql.json_lists import pairs
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import HELD, job, ready
from headrace_server.store.tables.statement import Query

_running = {
    scope: select(column, func.count()).where(HELD).group_by(column)
    for scope, column in ((Scope.QUEUE, job.c.queue), (Scope.TENANT, job.c.tenant))
}


def _counted(waiting: Select[Any]) -> Query:
    counted = waiting.limit(bindparam("limit")).subquery()
    both: Sequence[ColumnElement[Any]] = [func.count(), func.min(counted.c.at)]
    return Query(select(*both).select_from(counted))


_kind = pairs("kinds")
_waiting = {
    Scope.QUEUE: _counted(select(ready.c.at).where(ready.c.queue == bindparam("name"))),
    Scope.TENANT: _counted(
        select(ready.c.at)
        .select_from(_kind)
        .join(
            ready,
            (ready.c.queue == _kind.c.first)
            & (ready.c.type == _kind.c.second)
            & (ready.c.tenant == bindparam("name")),
        )
    ),
}


def read(connection: Connection, scope: Scope, *, after: str, limit: int) -> Sequence[QueueStats]:
    """Return the queues or tenants after a name, in order of name.

    They are those with jobs that wait or run, or with a gate.
    """
    kinds = candidates.kinds(connection)
    running: dict[str, int] = dict(connection.execute(_running[scope]).all())
    named = gates.page(connection, after=scope.key(after), limit=limit)
    said = {gate.name: gate for gate in named if gate.scope is scope}
    names = sorted(
        name for name in {*running, *said, *_names(connection, scope, kinds, after, limit)} if name > after
    )
    return [
        _traffic(connection, said.get(name) or Gate(scope, name), kinds, running.get(name, 0))
        for name in names[:limit]
    ]


def _names(
    connection: Connection, scope: Scope, kinds: Sequence[Kind], after: str, limit: int
) -> Sequence[str]:
    if scope is Scope.QUEUE:
        return [queue for queue, _ in kinds]
    return candidates.tenants(connection, kinds, last=after, limit=limit)


def _traffic(connection: Connection, gate: Gate, kinds: Sequence[Kind], running: int) -> QueueStats:
    given = {"kinds": dumps(list(kinds))} if gate.scope is Scope.TENANT else {}
    ((waiting, oldest),) = _waiting[gate.scope](connection, name=gate.name, limit=WAITING_LIMIT + 1, **given)
    return QueueStats(gate, min(waiting, WAITING_LIMIT), waiting > WAITING_LIMIT, oldest, running)
