"""Claims: tenants in turn, and of each tenant the best that may be run here.

`ready` holds what may be claimed in lanes, one for each (type, tenant), each in order of priority, then age:

    resize · acme     -5 09:00 │ 0 08:10 │ 0 08:11 …      acme:  resize -5, report 0, resize 0 ─┐  dealt in laps,
    report · acme      0 08:00 │ 0 08:30 …                                                      ├─ one from each
    resize · birch     0 07:59 │ …                        birch: resize 0, … ───────────────────┘  tenant in a lap

A claim skips from type to type and from tenant to tenant by seeks (the next that is greater), takes the heads of
the lanes of as many tenants as it has seats, and deals. What it costs depends on seats and types, never on how much
is queued: no statement here sorts or counts the queue, and jobs of types that are not run here are not even met.

The turn goes on behind the tenant that was served last. It is kept in memory: after a restart it begins anew.
"""

from collections import deque
from dataclasses import dataclass
from heapq import merge
from itertools import chain, islice, zip_longest

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    ScalarSelect,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from headrace_server.domain import running
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports import Claimed, ClaimRequest, Seat
from headrace_server.store import instances
from headrace_server.store.dialect.entries import each
from headrace_server.store.ledger import Ledger
from headrace_server.store.payloads import read_parameters
from headrace_server.store.rows import dumps
from headrace_server.store.schema import ready
from headrace_server.store.statement import Query, distinct, least
from headrace_server.store.work import Phase, Work

_lane = distinct(ready.c.type)
_types = Query(select(_lane.c.type).where(_lane.c.type.is_not(None)))
"""The types of which anything is ready."""


def _next_tenant(after: ColumnElement[str]) -> ScalarSelect[str]:
    kind = each("types")
    of_kind = least(ready.c.tenant, ready.c.type == kind.c.value, ready.c.tenant > after)
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
    ).limit(bindparam("seats"))
)
"""The tenants that have anything of `types` ready, from the one behind `last` round to `last` itself."""

_heads = Query(
    select(ready.c.neg_priority, ready.c.at, ready.c.job_id)
    .where(ready.c.type == bindparam("type"), ready.c.tenant == bindparam("tenant"))
    .order_by(ready.c.neg_priority, ready.c.at, ready.c.job_id)
    .limit(bindparam("depth"))
    .with_for_update(skip_locked=True)
)
"""The best of one lane, but for those that another claim is taking."""


@dataclass(slots=True)
class Turn:
    """Whose turn it is: the tenant after `last`."""

    last: str = ""


@dataclass(frozen=True, slots=True)
class Claim(Work[list[Claimed]]):
    """Fill seats with ready jobs."""

    phase = Phase.CLAIM
    request: ClaimRequest
    turn: Turn
    prove: bool
    """That the instance is alive: then one that is dead takes nothing."""

    def carry_out(self, ledger: Ledger) -> list[Claimed]:
        """Answer the jobs taken, in the order of the seats."""
        if self.prove and not instances.proved(ledger.connection, self.request.instance):
            return []
        claimed: list[Claimed] = []
        free = deque(self.request.seats)
        # A second round is rare: a tenant had less than its share, or a job expired at its permit.
        while free and (dealt := self._deal(ledger, len(free))):
            parameters = read_parameters(ledger.connection, dealt)
            for job_id in dealt:
                seat = free[0]
                taken = self._take(ledger, job_id, seat)
                claimed.append(Claimed(taken, parameters[job_id], seat))
                self.turn.last = taken.tenant
                if taken.status is not Status.FAILED:
                    free.popleft()
            ledger.flush()
        return claimed

    def _take(self, ledger: Ledger, job_id: str, seat: Seat) -> Job:
        who = {"instance": self.request.instance, "worker": seat.worker}
        taken = ledger.fold(running.claim(ledger.job(job_id), ledger.now, **who)).job
        if seat.permit:
            taken = ledger.fold(running.permit(taken, ledger.now, claim=taken.claim, **who)).job
        return taken

    def _deal(self, ledger: Ledger, seats: int) -> list[str]:
        """Lock the jobs for so many seats, one of each tenant in a lap; fewer when there are fewer.

        One that another is changing just now is left to him: its stop, or its expiry, wins.
        """
        connection = ledger.connection
        types = sorted(self.request.types.intersection(kind for (kind,) in _types(connection)))
        if not types:
            return []
        tenants = [
            tenant for (tenant,) in _tenants(connection, types=dumps(types), last=self.turn.last, seats=seats)
        ]
        if not tenants:  # Another has taken them all, between the two statements.
            return []
        depth = -(-seats // len(tenants))
        best = [_best(connection, types, tenant, depth) for tenant in tenants]
        laps = chain.from_iterable(zip_longest(*best))
        dealt = [job_id for job_id in laps if job_id is not None][:seats]
        ledger.load(dealt, free=True)
        return [job_id for job_id in dealt if (found := ledger.jobs.get(job_id)) is not None and found.ready]


def _best(connection: Connection, types: list[str], tenant: str, depth: int) -> list[str]:
    """The first jobs of a tenant over all its lanes."""
    heads = [_heads(connection, type=kind, tenant=tenant, depth=depth) for kind in types]
    return [job_id for _, _, job_id in islice(merge(*heads), depth)]
