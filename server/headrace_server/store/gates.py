"""Gates in the database: how a claim reads them, holds them and counts what has gone through.

    a claim                                        who changes a gate
    ───────────────────────────────────────        ─────────────────────────────────
    share     no gate changes till the end   <──>  alone   no claim is under way
    read      what is said of them                 write
    hold      lock those with a limit
    count     in the NEXT statement

**Why the count is a statement of its own.** A statement sees what was committed when it began. One
that locks a gate and counts in the same breath may have waited for the gate, and then counts what
there was before the wait: it lets through what the other claim has let through already. (Measured:
20 ran where 5 were allowed.) The next statement begins with the gate in hand, and whoever held it
before has committed.

**Nobody waits for a gate.** One that another claim holds is left out, with the lanes behind it, and
the claim says that it was busy: it is asked again some milliseconds later. So no lane waits for
another's gate, and no two claims for each other.

What runs is counted over the partial index of what instances hold: no counter can drift.

**What a later version says of a gate stays.** A column that this version does not know is left as
it is, and its row is not deleted when all else that was said is taken back. A scope that is not
known is shown, and lets everything through. A gate of which a part cannot be read lets nothing
through, until an operator has said anew what it is.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert

from headrace_server.domain.capacity import Held
from headrace_server.domain.gate import Gate, Scope
from headrace_server.domain.once import Once
from headrace_server.domain.open_enum import named
from headrace_server.store import sql
from headrace_server.store.sql.json_lists import among
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import HELD, gate, job
from headrace_server.store.tables.statement import Bulk, Query, Row
from headrace_server.store.write.operations import Phase, WriteOperation
from headrace_server.store.write.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)
_told: Final = Once()
_NOTHING: Final = type(None)

_named = select(gate).where(among(gate.c.gate, "keys")).order_by(gate.c.gate)
_read = Query(_named)
_hold = Query(_named.with_for_update(skip_locked=True))
_held = Query(
    select(job.c.queue, job.c.type, job.c.tenant, job.c.owner).where(
        HELD, or_(among(job.c.queue, "queues"), among(job.c.type, "types"), among(job.c.tenant, "tenants"))
    )
)
_new = insert(gate)  # SQLite knows this form of it too
_write = Bulk(
    _new.on_conflict_do_update(
        index_elements=["gate"],
        set_={name: _new.excluded[name] for name in gate.columns.keys()[1:]},
    ),
    gate.columns.keys(),
)
_forget = Bulk(delete(gate).where(gate.c.gate == bindparam("key")), ("key",))
_whole: Final[Select[Any]] = (
    select(literal_column("*")).select_from(gate).where(gate.c.gate == bindparam("key"))
)

_BOUNDS: Final = ("max_running", "max_running_per_owner")

FIELDS: Final = tuple(gate.columns.keys()[1:])
"""The fields of a gate as they are stored, behind its key."""


class Gates:
    """The operations of claims on gates.

    A test may replace them with its own.
    """

    def read(self, connection: Connection, keys: Iterable[str]) -> list[Gate]:
        """Of the gates of these keys those of which anything was said."""
        return [_gate(row) for row in _read(connection, keys=dumps(list(keys)))]

    def hold(
        self, connection: Connection, gates: Collection[Gate]
    ) -> tuple[Collection[Gate], Iterable[Held]]:
        """Hold the gates that no other transaction holds, until the end of this one.

        Return them, and the jobs that have passed them.
        """
        keys = {one.key: one for one in gates}
        mine = [keys[key] for key, *_ in _hold(connection, keys=dumps(sorted(keys)))]
        return mine, self.count(connection, mine)

    def count(self, connection: Connection, gates: Collection[Gate]) -> Iterable[Held]:
        """Return the jobs that instances hold and that have passed one of these gates."""
        names = {scope: [one.name for one in gates if one.scope is scope] for scope in Scope}
        return _held(
            connection,
            queues=dumps(names[Scope.QUEUE]),
            types=dumps(names[Scope.TYPE]),
            tenants=dumps(names[Scope.TENANT]),
        )


def share(connection: Connection, *, wait: bool) -> bool:
    """Until the end of this transaction no gate changes.

    wait: for one that is being changed; else the answer is False then.
    """
    return sql.of(connection).share_gates(connection, wait=wait)


def change(connection: Connection, asked: Gate, fields: Mapping[str, Any]) -> Gate:
    """Change these fields of a gate, when no claim is under way; answer the gate as it is now."""
    sql.of(connection).hold_gates(connection)
    found = Gates().read(connection, [asked.key])
    changed = (found[0] if found else asked).changed(fields)
    if changed.silent and not _says_more(connection, changed.key):
        _forget(connection, [(changed.key,)])
    else:
        _write(connection, [(changed.key, *(getattr(changed, name) for name in FIELDS))])
    return changed


def _says_more(connection: Connection, key: str) -> bool:
    """Whether a later version may have said something of the gate.

    Its row has then columns that this version does not know.
    """
    return bool(set(connection.execute(_whole, {"key": key}).keys()) - set(gate.columns.keys()))


def page(connection: Connection, *, after: str, limit: int) -> Sequence[Gate]:
    """The gates of which anything was said behind a key, by scope and name."""
    said = or_(gate.c.paused, gate.c.weight != 1, *(gate.c[name].is_not(None) for name in _BOUNDS))
    query = select(gate).where(gate.c.gate > after, said).order_by(gate.c.gate).limit(limit)
    return [_gate(row) for row in connection.execute(query).all()]


def _gate(row: Row) -> Gate:
    key, paused, running, of_owner, weight = row
    scope, _, name = key.partition(":")
    if {type(running), type(of_owner)} <= {int, _NOTHING} and type(weight) is int:
        return Gate(named(Scope, scope), name, bool(paused), running, of_owner, weight)
    if _told.first(key, "gate"):
        logger.error("The gate %s cannot be read, so it lets nothing through: say anew what it is", key)
    return Gate(named(Scope, scope), name, paused=True)


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
        return change(unit.connection, self.gate, self.fields)
