"""The writer's work for the relay: remove what was confirmed, and say which instance leads.

    duty 'broadcast'      holder "" ──lead──> A ── A leaves, dies, or has no broker ──> "" or A ──lead──> B

One instance publishes at a time; who it is stands in the database, and counts for as long as that
instance lives. Should two believe for a moment that they are it, events may be published twice, but
still those of a job in their order: each of them takes a job's events from their beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, exists, select, update

from headrace_server.store.cluster.instances import DEAD
from headrace_server.store.outbox import rows
from headrace_server.store.tables.schema import duty, instance
from headrace_server.store.tables.statement import Bulk, Query
from headrace_server.store.write.operations import Phase, WriteOperation
from headrace_server.store.write.unit_of_work import UnitOfWork

DUTY: Final = "broadcast"

_holder = Query(
    select(duty.c.holder, exists().where(instance.c.instance == duty.c.holder, ~DEAD))
    .where(duty.c.name == bindparam("name"))
    .with_for_update()
)
_hold = Bulk(
    update(duty).values(holder=bindparam("who")).where(duty.c.name == bindparam("key")), ("who", "key")
)


@dataclass(frozen=True, slots=True)
class Settle(WriteOperation[None]):
    """Delete what was confirmed, and mark what no queue wants."""

    phase = Phase.FOLD
    sent: Sequence[int]
    parked: Sequence[int]

    def apply(self, unit: UnitOfWork) -> None:
        """By place."""
        unit.wrote = True
        rows.settle(unit.connection, self.sent, self.parked)


@dataclass(frozen=True, slots=True)
class TryLead(WriteOperation[bool]):
    """Take the duty over from nobody or from the dead; or give it up."""

    phase = Phase.FOLD
    me: str
    want: bool

    def apply(self, unit: UnitOfWork) -> bool:
        """Answer whether it is mine."""
        ((holder, lives),) = _holder(unit.connection, name=DUTY)
        if (holder == self.me) == self.want or (lives and holder != self.me):
            return self.want and holder == self.me
        unit.wrote = True
        _hold(unit.connection, [(self.me if self.want else "", DUTY)])
        return self.want
