"""Check a PostgreSQL database: if it answers, what it is, its user's rights, and its room."""

from collections.abc import Iterator
from typing import Final

from headrace_server.doctor.finding import Finding, ok, problem, warning
from headrace_server.store import StoreRefused, StoreUnreachable
from headrace_server.store.opening.inspect_postgresql import (
    OLDEST_SERVER,
    PostgresqlInspection,
    inspect_postgresql,
)

OLD: Final = 3600.0
"""Seconds after which an open transaction is old.

What is deleted while it is open stays where claims look.
"""


def look(url: str, *, durable: bool) -> Iterator[Finding]:
    """Everything about the database of a URL."""
    try:
        found = inspect_postgresql(url)
    except StoreUnreachable as error:
        yield problem("database", _unreachable(str(error)))
    except StoreRefused as error:
        yield problem("database", str(error))
    else:
        yield from assess(found, durable=durable)


def assess(found: PostgresqlInspection, *, durable: bool) -> Iterator[Finding]:
    """Yield findings on what was seen in the database."""
    yield _server(found)
    yield from _schema(found)
    yield _instances(found)
    yield _connections(found)
    yield _durability(found, durable=durable)
    if found.oldest is not None and found.oldest.age > OLD:
        old = found.oldest
        yield warning(
            "transactions",
            f"Process {old.pid} of the database ({old.program or 'no name'}) has had a transaction open for "
            f"{old.age / 3600:.1f} h ({old.state or 'state unknown'}): what is deleted meanwhile cannot be cleared away and claims "
            f"grow slower; end it, if need be by SELECT pg_terminate_backend({old.pid}).",
        )


def _unreachable(words: str) -> str:
    if "FATAL" in words:  # the server's own word: it is there
        cure = "see that user, password and database in --database-url are right, and that pg_hba.conf lets it in"
    else:
        cure = "start it, or give its host and port in --database-url; a server waits for it meanwhile"
    return f"It cannot be reached ({words}): {cure}."


def _server(found: PostgresqlInspection) -> Finding:
    here = f"PostgreSQL {found.version_text} answers at {found.place}"
    if found.version < OLDEST_SERVER:
        return problem(
            "database", f"{here}, which is too old: use PostgreSQL {OLDEST_SERVER // 10_000} or later."
        )
    if found.encoding != "UTF8":
        return problem(
            "database",
            f"{here}, but its encoding is {found.encoding}, which cannot hold every text: "
            "make a database with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'.",
        )
    if found.read_only:
        return problem(
            "database", f"{here}, but it is a standby, where nothing can be written: name its primary."
        )
    return ok("database", f"{here}.")


def _schema(found: PostgresqlInspection) -> Iterator[Finding]:
    state = found.state
    if found.closed_tables:
        yield problem(
            "schema",
            f"The user {found.user} may not read and write {', '.join(found.closed_tables)}: GRANT SELECT, INSERT, "
            f"UPDATE, DELETE ON ALL TABLES IN SCHEMA {found.schema or 'public'} TO {found.user}; GRANT USAGE ON ALL "
            f"SEQUENCES IN SCHEMA {found.schema or 'public'} TO {found.user}.",
        )
    elif state.serves:
        yield ok(
            "schema",
            f"The tables are of a newer version ({state.current}) and serve this one ({state.head}) too.",
        )
    elif not state.known:
        yield problem(
            "schema",
            f"It was written by a newer Headrace (schema {state.current}; this version knows up to {state.head}): "
            "upgrade Headrace, or give another --database-url.",
        )
    elif state.up_to_date:
        yield ok("schema", f"The tables are those of this version ({state.head}).")
    elif not found.may_create:
        where = f"the schema {found.schema}" if found.schema else "any schema of its search_path"
        yield problem(
            "schema",
            f"There {'is schema ' + state.current if state.current else 'are no tables'}, this version needs {state.head}, and the user "
            f"{found.user} may not create tables in {where}: GRANT CREATE ON SCHEMA "
            f"{found.schema or 'public'} TO {found.user}, or run `headrace db upgrade` as the owner.",
        )
    else:
        yield ok(
            "schema",
            f"The database has {f'schema {state.current}' if state.current else 'no tables'}: the server, or "
            f"`headrace db upgrade`, brings it to {state.head}.",
        )


def _instances(found: PostgresqlInspection) -> Finding:
    if not found.live:
        return ok("instances", "None serves this database.")
    shown = ", ".join(f"{name} at {address}" for name, address in found.live)
    return ok("instances", f"{len(found.live)} serve this database, or have died just now: {shown}.")


def _connections(found: PostgresqlInspection) -> Finding:
    left, needed = found.connections_left, found.connections_needed
    said = f"{left:,} are left for {found.user}, and an instance takes {needed}"
    way_out = "raise max_connections or the limit of its user or database, or end what holds them"
    if left >= 2 * needed:
        return ok("connections", f"{said}.")
    if left >= needed or found.live:
        return warning("connections", f"{said}: before one more is started, {way_out}.")
    return problem("connections", f"{said}: {way_out}.")


def _durability(found: PostgresqlInspection, *, durable: bool) -> Finding:
    if found.unsafe:
        return warning(
            "durability",
            f"{' and '.join(found.unsafe)} {'is' if len(found.unsafe) == 1 else 'are'} off: a crash of the machine may "
            f"damage the database; set {'it' if len(found.unsafe) == 1 else 'them'} on in postgresql.conf.",
        )
    if not durable:
        return warning(
            "durability",
            "durable is false: a crash of the database loses jobs that were answered; leave the setting out.",
        )
    return ok("durability", "A commit is on its disk when it is answered.")
