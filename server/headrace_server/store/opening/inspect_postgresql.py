"""A look at a PostgreSQL database that changes nothing, and waits for nobody."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from headrace_server.store import sql
from headrace_server.store.cluster.instances import State
from headrace_server.store.errors import StoreRefused, StoreUnreachable
from headrace_server.store.opening import migrate
from headrace_server.store.sql import Engines
from headrace_server.store.tables.schema import metadata

OLDEST_SERVER: Final = 140_000
"""The oldest PostgreSQL that the statements are written for, as it numbers itself."""

_RIGHTS: Final = "SELECT, INSERT, UPDATE, DELETE"
_OPTIONS: Final = "-c statement_timeout=10s -c lock_timeout=1s -c default_transaction_read_only=on -c jit=off"

_SERVER: Final = """
    SELECT current_setting('server_version_num')::int, current_setting('server_version'),
           current_setting('server_encoding'), current_user, current_schema(),
           coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
           (SELECT array_agg(name::text ORDER BY name) FROM pg_settings
             WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'),
           pg_is_in_recovery()
"""
# Who may not see what another does sees that it is there: the kind is not known then.
_CONNECTIONS: Final = """
    WITH taken AS (
        SELECT datid, usesysid FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
          AND pid <> pg_backend_pid()
    )
    SELECT least(
        (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings
          WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
        - (SELECT count(*) FROM taken),
        (SELECT nullif(datconnlimit, -1) - (SELECT count(*) FROM taken WHERE datid = oid)
           FROM pg_database WHERE datname = current_database()),
        (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) FROM taken WHERE usesysid = oid)
           FROM pg_roles WHERE rolname = current_user)
    )
"""
_OLDEST: Final = """
    SELECT pid, coalesce(application_name, ''), coalesce(state, ''), extract(epoch FROM now() - xact_start)::float
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 1
"""
_CLOSED: Final = """
    SELECT name FROM unnest(%s::text[]) AS name
    WHERE to_regclass(name) IS NOT NULL AND EXISTS (
        SELECT FROM unnest(string_to_array(%s, ', ')) AS kind WHERE NOT has_table_privilege(name, kind)
    )
    UNION SELECT sequencename FROM pg_sequences
    WHERE schemaname = current_schema() AND sequencename = 'writer_writer_seq'
          AND NOT has_sequence_privilege(format('%%I.%%I', schemaname, sequencename), 'USAGE')
    ORDER BY name
"""
_LIVE: Final = "SELECT instance, about FROM instance WHERE state = %s ORDER BY start_time, instance"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One that is open: of which process of the database, and for how many seconds."""

    pid: int
    program: str
    state: str
    age: float


@dataclass(frozen=True, slots=True)
class PostgresqlInspection:
    """The findings of an inspection.

    `connections_left` is what is left for this user in this database. `connections_needed` is what
    one instance needs.
    """

    place: str
    version: int
    version_text: str
    encoding: str
    user: str
    schema: str | None
    may_create: bool
    unsafe: Sequence[str]
    """Settings that let a crash of the database damage it."""
    read_only: bool
    connections_left: int
    connections_needed: int
    state: migrate.SchemaState
    closed_tables: Sequence[str]
    """Tables of ours that the user may not read or write, and sequences that it may not use."""
    live: Sequence[tuple[str, str]]
    """Instances that are not known to be dead, and where each listens."""
    oldest: Transaction | None


def inspect_postgresql(url: str) -> PostgresqlInspection:
    """Inspect the database of this URL.

    Raises StoreRefused: StoreUnreachable, in the driver's words, when the database does not answer.
    """
    database = sql.of_url(url)
    place = database.place(url)
    try:
        # What the URL says of a session, such as its search_path, counts for the doctor too.
        given = str(conninfo_to_dict(url).get("options") or "")
        with psycopg.connect(
            url, connect_timeout=5, application_name="headrace doctor", options=f"{given} {_OPTIONS}".strip()
        ) as connection:
            return _look(connection, place, len(Engines._fields) - 1 + database.readers)
    except psycopg.OperationalError as error:
        raise StoreUnreachable(_words(error)) from error
    except psycopg.Error as error:
        raise StoreRefused(f"The database {place} cannot be looked at: {_words(error)}.") from error


def _look(connection: "psycopg.Connection[Any]", place: str, needed: int) -> PostgresqlInspection:
    version, version_text, encoding, user, schema, may_create, unsafe, read_only = _row(connection, _SERVER)
    (left,) = _row(connection, _CONNECTIONS)
    oldest = connection.execute(_OLDEST).fetchone()
    tables = [*metadata.tables, "alembic_version"]
    closed = [str(name) for (name,) in connection.execute(_CLOSED, (tables, _RIGHTS))]
    current = None if "alembic_version" in closed else _revision(connection)
    state = migrate.state_of(current)
    live = []
    if "instance" not in closed and _there(connection, "instance"):
        live = [
            (str(name), str(json.loads(about).get("address", "")))
            for name, about in connection.execute(_LIVE, (int(State.LIVE),))
        ]
    return PostgresqlInspection(
        place=place,
        version=version,
        version_text=version_text.partition(" ")[0],
        encoding=encoding,
        user=user,
        schema=schema,
        may_create=may_create,
        unsafe=unsafe or (),
        read_only=read_only,
        connections_left=max(0, int(left)),
        connections_needed=needed,
        state=state,
        closed_tables=closed,
        live=live,
        oldest=Transaction(*oldest) if oldest else None,
    )


def _revision(connection: "psycopg.Connection[Any]") -> str | None:
    if not _there(connection, "alembic_version"):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _there(connection: "psycopg.Connection[Any]", table: str) -> bool:
    return bool(_row(connection, "SELECT to_regclass(%s) IS NOT NULL", table)[0])


def _row(connection: "psycopg.Connection[Any]", question: str, *values: object) -> tuple[Any, ...]:
    row = connection.execute(question, values or None).fetchone()
    if row is None:
        raise psycopg.DataError("an answer without a row")
    return tuple(row)


def _words(error: psycopg.Error) -> str:
    return " ".join(str(error).split()).rstrip(".")
