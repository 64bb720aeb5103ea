"""Gates in the database: how a claim reads them, holds them and counts what has gone through.

    a claim                                        who changes a gate
    ───────────────────────────────────────        ─────────────────────────────────
    share     no gate changes till the end   <──>  alone   no claim is under way
    read      what is said of them                 write
    hold      lock those with a limit
    count     in the NEXT statement

**Why the count is a statement of its own.** A statement sees what was committed when it began. One that locks a gate
and counts in the same breath may have waited for the gate, and then counts what there was before the wait: it lets
through what the other claim has let through already. (Measured: 20 ran where 5 were allowed.) The next statement
begins with the gate in hand, and whoever held it before has committed.

**Nobody waits for a gate.** One that another claim holds is left out, with the lanes behind it, and the claim says
that it was busy: it is asked again some milliseconds later. So no lane waits for another's gate, and no two claims
for each other.

What runs is counted over the partial index of what instances hold: no counter can drift.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from headrace_server.domain.capacity import Held
from headrace_server.domain.gate import Gate, Scope
from headrace_server.store import sql
from headrace_server.store.sql.json_lists import among
from headrace_server.store.tables.rows import dumps
from headrace_server.store.tables.schema import HELD, gate, job
from headrace_server.store.tables.statement import Bulk, Query, Row

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

FIELDS: Final = tuple(gate.columns.keys()[1:])
"""The fields of a gate as they are stored, behind its key."""


class Gates:
    """What claims do with gates. A test may have one of its own do it otherwise."""

    def read(self, connection: Connection, keys: Iterable[str]) -> list[Gate]:
        """Of the gates of these keys those of which anything was said."""
        return [_gate(row) for row in _read(connection, keys=dumps(list(keys)))]

    def hold(
        self, connection: Connection, gates: Collection[Gate]
    ) -> tuple[Collection[Gate], Iterable[Held]]:
        """Hold gates until the end of the transaction: those that nobody else holds, and what has gone through them."""
        keys = {one.key: one for one in gates}
        mine = [keys[key] for key, *_ in _hold(connection, keys=dumps(sorted(keys)))]
        return mine, self.count(connection, mine)

    def count(self, connection: Connection, gates: Collection[Gate]) -> Iterable[Held]:
        """What instances hold, of the jobs that have passed one of these gates."""
        names = {scope: [one.name for one in gates if one.scope is scope] for scope in Scope}
        return _held(
            connection,
            queues=dumps(names[Scope.QUEUE]),
            types=dumps(names[Scope.TYPE]),
            tenants=dumps(names[Scope.TENANT]),
        )


def share(connection: Connection) -> None:
    """Until the end of this transaction no gate changes."""
    sql.of(connection).share_gates(connection)


def change(connection: Connection, asked: Gate, fields: Mapping[str, Any]) -> Gate:
    """Change these fields of a gate, when no claim is under way; answer the gate as it is now."""
    sql.of(connection).hold_gates(connection)
    found = Gates().read(connection, [asked.key])
    changed = (found[0] if found else asked).changed(fields)
    if changed.silent:
        _forget(connection, [(changed.key,)])
    else:
        _write(connection, [(changed.key, *(getattr(changed, name) for name in FIELDS))])
    return changed


def page(connection: Connection, *, after: str, limit: int) -> Sequence[Gate]:
    """The gates of which anything was said behind a key, by scope and name."""
    query = select(gate).where(gate.c.gate > after).order_by(gate.c.gate).limit(limit)
    return [_gate(row) for row in connection.execute(query).all()]


def _gate(row: Row) -> Gate:
    key, paused, *rest = row
    scope, _, name = key.partition(":")
    return Gate(Scope(scope), name, bool(paused), *rest)
