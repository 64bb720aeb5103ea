"""PostgreSQL: many stores, each with a connection that writes, one that claims and a few that read.

- **Nothing waits for ever.** A stopped process keeps its row locks: its transaction is ended after 2 s, and who waits
  for it gives up after 1 s and does its batch again. A silent network is noticed within about 5 s.
- **Plans are certain.** A connection that writes or claims meets each statement thousands of times, prepared, while
  tables grow from nothing: a plan that was good for ten rows must not be kept for a million. So its statements name
  one table and a prefix of one index, joins begin with what is bound, and scanning, hashing and merging are switched
  off there: nothing else is left to choose. Reads are planned anew each time.
- **Reads are one snapshot** for all their statements (REPEATABLE READ, READ ONLY). Writes need none: they read what
  they have locked.
- Texts compare by their bytes (COLLATE "C"), as on SQLite, whatever the language of the database is.
"""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import errors
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    Text,
    and_,
    case,
    cast,
    create_engine,
    false,
    func,
    make_url,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from headrace_server.store.dialect.entries import Among, Entries, Part
from headrace_server.store.dialect.port import Dialect, Engines, begins
from headrace_server.store.refusal import StoreRefused

_CONNECT: Final[Mapping[str, int]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # milliseconds; all others are seconds
}
_ALL: Final = {"jit": "off", "idle_in_transaction_session_timeout": "2s", "lock_timeout": "1s"}
_CERTAIN: Final = {
    "statement_timeout": "10s",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_READ: Final = {
    "statement_timeout": "30s",
    "default_transaction_isolation": "repeatable\\ read",
    "default_transaction_read_only": "on",
    "plan_cache_mode": "force_custom_plan",
}
_OWNER: Final = {"jit": "off", "statement_timeout": "0", "lock_timeout": "60s"}

_SCHEMA_LOCK: Final = 0x6865616472616365
"""The key of the advisory lock that a change of the tables holds: "headrace"."""

_GATES_LOCK: Final = _SCHEMA_LOCK + 1
"""The key of the advisory lock of the gates: it writes nothing, so those who share it do not feel each other."""
_SHARE_GATES: Final = f"SELECT pg_advisory_xact_lock_shared({_GATES_LOCK})"
_HOLD_GATES: Final = f"SELECT pg_advisory_xact_lock({_GATES_LOCK})"

_CONFLICTS: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,  # for 1 s: whoever holds it is ended after 2 s
)
_TROUBLE: Final = (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError)
_DATA: Final = (errors.ProgramLimitExceeded,)
"""Of the errors called operational those that the data have made: a key that no index page can hold."""


class _Postgresql(Dialect):
    """PostgreSQL 14 or later."""

    shared = True
    readers = 4

    def place(self, url: str) -> str:
        try:
            return make_url(url).set(query={}).render_as_string()
        except ArgumentError as error:
            raise StoreRefused(f"{url!r} is no database URL: give postgresql://<host>/<database>.") from error

    def engines(self, url: str, *, durable: bool) -> Engines:
        writing = {**_CERTAIN, "synchronous_commit": "on" if durable else "off"}
        return Engines(
            _engine(url, "writes", 1, {**_ALL, **writing}),
            _engine(url, "reads", self.readers, {**_ALL, **_READ}),
            _engine(url, "claims", 1, {**_ALL, **writing}),
        )

    def owner_engine(self, url: str) -> Engine:
        return _engine(url, "schema", 1, _OWNER)

    def hold_schema(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})

    def share_gates(self, connection: Connection) -> None:
        connection.connection.cursor().execute(_SHARE_GATES)

    def hold_gates(self, connection: Connection) -> None:
        connection.connection.cursor().execute(_HOLD_GATES)

    def keep(self, engines: Engines, url: str) -> None:
        """A server does not lose its database unnoticed."""

    def trouble(self, error: BaseException) -> str:
        said = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(said, _TROUBLE) or isinstance(said, _DATA):
            return ""
        return str(said).partition("\n")[0] or type(said).__name__

    def conflict(self, error: BaseException) -> bool:
        said = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(said, errors.UniqueViolation):
            # Another store has made a job with this request_id meanwhile: it will be found.
            return said.diag.constraint_name == "pk_request"
        return isinstance(said, _CONFLICTS)

    def write_back(self, _engine: Engine) -> bool:
        return True  # It does by itself.

    def entry_equals(self, document: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
        entry, said = _entry(document, name)
        kind = func.json_typeof(entry)
        match value:
            case None:
                return kind == "null"
            case bool():
                return and_(kind == "boolean", said == ("true" if value else "false"))
            case int():
                return and_(kind == "number", said == str(value))
            case float():
                real = and_(kind == "number", said.regexp_match("[.eE]"))
                return case((real, cast(said, Double) == value), else_=false())
            case _:
                return and_(kind == "string", said == value)

    def entry_begins(self, document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
        entry, said = _entry(document, name)
        return and_(func.json_typeof(entry) == "string", begins(said, prefix))


POSTGRESQL: Final[Dialect] = _Postgresql()


def _engine(url: str, purpose: str, connections: int, settings: Mapping[str, str]) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    given = str(parsed.query.get("options", ""))
    options = " ".join((given, *(f"-c {name}={value}" for name, value in settings.items()))).strip()
    return create_engine(
        parsed,
        paramstyle="format",  # by place, for the statements that go to the driver as they are
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={**_CONNECT, "application_name": f"headrace {purpose}", "options": options},
    )


def _entry(document: ColumnElement[Any], name: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """An entry of a JSON object as JSON, which keeps numbers as they were written, and as text."""
    whole = cast(document, JSON)
    return whole.op("->", return_type=JSON())(cast(name, Text)), whole.op("->>", return_type=Text())(
        cast(name, Text)
    )


@compiles(Among, "postgresql")
def _among(among: Among, compiler: SQLCompiler, **how: Any) -> str:
    column, entries = (compiler.process(part, **how) for part in among.clauses)
    # The array is made once and the index is sought for each of it; a join could be turned round.
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({entries} AS JSON))))"


@compiles(Entries, "postgresql")
def _entries(entries: Entries, compiler: SQLCompiler, **how: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(entries.clauses, **how)} AS JSON))"


@compiles(Part, "postgresql")
def _part(part: Part, compiler: SQLCompiler, **how: Any) -> str:
    array, place = (compiler.process(each, **how) for each in part.clauses)
    return f"(CAST({array} AS JSON) ->> {place})"
