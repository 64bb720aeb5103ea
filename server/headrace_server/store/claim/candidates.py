"""Lanes in the database: what may be claimed now, by seeks.

    ready         queue · type · tenant │ -priority · at · job_id          the order of a lane
    ready_owner   queue · type · tenant · owner │ -priority · at · job_id  that of each owner in it

No statement here sorts, counts or walks over the queue: each is a number of seeks that does not
depend on how many jobs wait.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    bindparam,
    case,
    func,
    literal,
    select,
    union_all,
)

from headrace_server.domain.gate import ReadyKey
from headrace_server.store.sql.json_lists import pairs
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import ready
from headrace_server.store.tables.statement import Query, least

Kind = tuple[str, str]
"""A queue and a type."""

OWNERS: Final = 50
"""The most owners with room that are examined to find the best jobs of a lane.

This is for a lane in which owners at their limit come first.
"""


class Candidate(NamedTuple):
    """A job that may be claimed; they sort as they are to be taken."""

    neg_priority: int
    at: int
    job_id: str
    owner: str
    lane: ReadyKey


def _next_type(queue: ColumnElement[str], after: ColumnElement[str]) -> ScalarSelect[str]:
    return least(ready.c.type, ready.c.queue == queue, ready.c.type > after)


def _kinds_of_all() -> CTE:
    """Return the query for every queue and type of which anything is ready.

    The recursion enters a queue with no type, and leaves it after its last type.
    """
    queues = ready.alias()
    first = least(queues.c.queue)
    known = select(first.label("queue"), _next_type(first, literal("")).label("type")).cte(
        "kind", recursive=True
    )
    following = _next_type(known.c.queue, func.coalesce(known.c.type, ""))
    after = least(ready.c.queue, ready.c.queue > known.c.queue)
    queue = case((following.is_(None), after), else_=known.c.queue)
    return known.union_all(select(queue, following).where(known.c.queue.is_not(None)))


_kind = _kinds_of_all()
_kinds = Query(select(_kind.c.queue, _kind.c.type).where(_kind.c.type.is_not(None)))


def kinds(connection: Connection) -> list[Kind]:
    """Every queue and type of which anything is ready."""
    return [(queue, kind) for queue, kind in _kinds(connection)]


def _next_tenant(after: ColumnElement[str]) -> ScalarSelect[str]:
    kind = pairs("kinds")
    of_kind = least(
        ready.c.tenant, ready.c.queue == kind.c.first, ready.c.type == kind.c.second, ready.c.tenant > after
    )
    return select(func.min(of_kind)).select_from(kind).correlate_except(kind).scalar_subquery()


def _turn(name: str, after: ColumnElement[str], *, until: ColumnElement[str] | None = None) -> CTE:
    """The tenants behind `after`, one after the other, until one is not less than `until`."""
    turn = select(_next_tenant(after).label("tenant")).cte(name, recursive=True)
    goes_on = turn.c.tenant.is_not(None) if until is None else turn.c.tenant < until
    return turn.union_all(select(_next_tenant(turn.c.tenant)).where(goes_on))


_rest = _turn("rest", bindparam("last"))
_again = _turn("again", literal(""), until=bindparam("last"))
_tenants = Query(
    union_all(
        select(_rest.c.tenant).where(_rest.c.tenant.is_not(None)),
        select(_again.c.tenant).where(_again.c.tenant <= bindparam("last")),
    ).limit(bindparam("limit"))
)


def tenants(connection: Connection, of: Sequence[Kind], *, last: str, limit: int) -> list[str]:
    """Return the tenants that have ready jobs of these kinds, starting after `last`.

    The order wraps around and ends with `last` itself.
    """
    found = _tenants(connection, kinds=dumps(list(of)), last=last, limit=limit)
    return [tenant for (tenant,) in found]


_in_lane = (
    ready.c.queue == bindparam("queue"),
    ready.c.type == bindparam("type"),
    ready.c.tenant == bindparam("tenant"),
)
_order = (ready.c.neg_priority, ready.c.at, ready.c.job_id)
_lane = select(*_order, ready.c.owner).where(*_in_lane).order_by(*_order).limit(bindparam("limit"))
_heads = Query(_lane.with_for_update(skip_locked=True))
_seen = Query(_lane)


def heads(connection: Connection, lane: ReadyKey, limit: int) -> list[Candidate]:
    """The best of a lane, but for those that another claim is taking."""
    return _of_lane(lane, _heads(connection, **_names(lane), limit=limit))


def seen(connection: Connection, lane: ReadyKey, limit: int) -> list[Candidate]:
    """The best of a lane whose gate is held: no other claim takes any of them."""
    return _of_lane(lane, _seen(connection, **_names(lane), limit=limit))


def _owners() -> CTE:
    """The owners in a lane from `begin` on."""
    first = least(ready.c.owner, *_in_lane, ready.c.owner >= bindparam("begin"))
    known = select(first.label("owner")).cte("each_owner", recursive=True)
    after = least(ready.c.owner, *_in_lane, ready.c.owner > known.c.owner)
    return known.union_all(select(after).where(known.c.owner.is_not(None)))


_owner = _owners()


def _of_owner(column: Column[int] | Column[str]) -> ScalarSelect[int | str]:
    best = select(column).where(*_in_lane, ready.c.owner == _owner.c.owner).order_by(*_order).limit(1)
    return best.correlate_except(ready).scalar_subquery()


_best: Sequence[ColumnElement[Any]] = [*map(_of_owner, _order), _owner.c.owner]
_of_owners = Query(select(*_best).where(_owner.c.owner.is_not(None)).limit(bindparam("limit")))


def of_owners(connection: Connection, lane: ReadyKey, *, begin: str, limit: int) -> list[Candidate]:
    """Return the best job of each owner in a lane whose gate is held.

    At most `limit` owners are examined, from `begin` on.
    """
    return _of_lane(lane, _of_owners(connection, **_names(lane), begin=begin, limit=limit))


def _names(lane: ReadyKey) -> dict[str, str]:
    return {"queue": lane.queue, "type": lane.type, "tenant": lane.tenant}


def _of_lane(lane: ReadyKey, rows: Sequence[tuple[int, int, str, str]]) -> list[Candidate]:
    return [Candidate(neg_priority, at, job_id, owner, lane) for neg_priority, at, job_id, owner in rows]
