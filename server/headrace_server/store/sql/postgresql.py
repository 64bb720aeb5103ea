"""PostgreSQL: many stores, each with a connection that writes, one that claims and a few that read.

- **Nothing waits for ever.** A stopped process keeps its row locks: its transaction is ended after
  2 s, and who waits for it gives up after 1 s and does its batch again. But the server starts no
  clock in the middle of a pipeline, nor behind the flush with which the driver ends one. So whoever
  finds that an instance has died ends its connections, which bear the numbers of their writers. A
  silent network is noticed within about 5 s.
- **Plans are certain.** A connection that writes or claims meets each statement thousands of times,
  prepared, while tables grow from nothing: a plan that was good for ten rows must not be kept for a
  million. So its statements name one table and a prefix of one index, joins begin with what is
  bound, and scanning, hashing and merging are switched off there: nothing else is left to choose.
  Reads are planned anew each time.
- **Reads are one snapshot** for all their statements (REPEATABLE READ, READ ONLY). Writes need
  none: they read what they have locked. READ ONLY is said by each BEGIN, not by the session: a URL
  with target_session_attrs=read-write has the driver refuse a session that is read-only from its
  start.
- **Texts are UTF-8**, on the connection whatever its surroundings say, and in the database, or it
  is refused.
- Texts compare by their bytes (COLLATE "C"), as on SQLite, whatever the language of the database
  is.
"""

import os
import select
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import errors
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Integer,
    Text,
    and_,
    case,
    cast,
    create_engine,
    event,
    false,
    func,
    make_url,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from headrace_server.domain.values import dumps
from headrace_server.store.errors import StoreRefused
from headrace_server.store.sql.answering import answer
from headrace_server.store.sql.json_lists import AnyOf, ElementAt, Elements
from headrace_server.store.sql.port import Dialect, Engines, Hints, News, begins

_CONNECT: Final[Mapping[str, int | str]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # milliseconds; all others are seconds
    # Ours, whatever PGCLIENTENCODING, the URL, its options, the role or the database say: a text
    # that the connection could not carry would be an end that cannot be written.
    "client_encoding": "utf8",
}
_SOON: Final[Mapping[str, int | str]] = {**_CONNECT, "connect_timeout": 2, "tcp_user_timeout": 1000}
"""For the probe: 2 s is the least that the driver knows."""
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
    "plan_cache_mode": "force_custom_plan",
}
_BEAT: Final = {"statement_timeout": "2s", "synchronous_commit": "off"}
_TAIL: Final = {**_CERTAIN, "synchronous_commit": "off"}
_OWNER: Final = {"jit": "off", "statement_timeout": "0", "lock_timeout": "60s"}

_NO_WRITES: Final = ("read-only", "standby", "prefer-standby")
"""Values of target_session_attrs."""

_SCHEMA_LOCK: Final = 0x6865616472616365
"""The key of the advisory lock that a change of the tables holds: "headrace"."""

_CHANNELS: Final = ("headrace", "headrace_gates")
"""For each kind of News one."""

_WRITERS: Final = ("writes", "claims")

_END: Final = text(
    "SELECT pg_terminate_backend(pid, 500) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = ANY(:names)"
)
"""It waits for the end of each, half a second at most."""
_GATES_LOCK: Final = _SCHEMA_LOCK + 1
"""The key of the advisory lock of the gates.

The lock writes nothing, so transactions that share it do not disturb each other.
"""
_SHARE_GATES: Final = f"SELECT pg_advisory_xact_lock_shared({_GATES_LOCK})"
_TRY_TO_SHARE_GATES: Final = f"SELECT pg_try_advisory_xact_lock_shared({_GATES_LOCK})"
_HOLD_GATES: Final = f"SELECT pg_advisory_xact_lock({_GATES_LOCK})"

_CONFLICTS: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,  # for 1 s: whoever holds it is ended after 2 s
)
_TROUBLE: Final = (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError)
_DATA: Final = (errors.ProgramLimitExceeded,)
"""The operational errors that are caused by the data: a key that no index page can hold."""


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
        reads = _engine(url, "reads", self.readers, {**_ALL, **_READ})
        event.listen(reads, "connect", _read_only)
        return Engines(
            _engine(url, "writes", 1, {**_ALL, **writing}),
            reads,
            _engine(url, "claims", 1, {**_ALL, **writing}),
            # What a beat says is true the moment it is answered: it need not outlive a crash of the
            # database.
            _engine(url, "beats", 1, {**_ALL, **_BEAT}),
            _engine(url, "tail", 1, {**_ALL, **_TAIL}).execution_options(isolation_level="AUTOCOMMIT"),
            _engine(url, "probe", 1, _ALL, limits=_SOON).execution_options(isolation_level="AUTOCOMMIT"),
        )

    def hints(self) -> Hints:
        return _Notify()

    def owner_engine(self, url: str) -> Engine:
        return _engine(url, "schema", 1, _OWNER)

    def check(self, connection: Connection, place: str) -> None:
        encoding = _driver(connection).info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreRefused(
                f"The database {place} is encoded in {encoding}, which cannot hold every text: give one that was made with "
                "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'."
            )

    def hold_schema(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})

    def share_gates(self, connection: Connection, *, wait: bool) -> bool:
        asked = connection.connection.cursor()
        asked.execute(_SHARE_GATES if wait else _TRY_TO_SHARE_GATES)
        return wait or asked.fetchone() == (True,)

    def hold_gates(self, connection: Connection) -> None:
        connection.connection.cursor().execute(_HOLD_GATES)

    def pin_to_file(self, engines: Engines, url: str) -> None:
        """A server does not lose its database unnoticed."""

    def name(self, engines: Engines, numbers: Sequence[int]) -> None:
        for engine, purpose, number in zip((engines.writes, engines.claims), _WRITERS, numbers, strict=True):
            _bear(engine, f"headrace {purpose} {number}")
        engines.writes.dispose()  # the connection that has asked for the numbers bears none

    def terminate(self, connection: Connection, numbers: Sequence[int]) -> None:
        names = [f"headrace {purpose} {number}" for purpose in _WRITERS for number in numbers]
        connection.execute(_END, {"names": names})

    def ask(self, probe: Engine, seconds: float) -> None:
        with probe.connect() as connection:
            try:
                said = answer(_driver(connection).pgconn, b"SHOW transaction_read_only", seconds)
            except psycopg.Error as error:
                connection.invalidate(error)
                raise
        if said == b"on":
            raise errors.ReadOnlySqlTransaction("it takes no writes: transaction_read_only is on")

    def unavailable_reason(self, error: BaseException) -> str:
        said = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(said, _TROUBLE) or isinstance(said, _DATA):
            return ""
        return str(said).partition("\n")[0] or type(said).__name__

    def is_conflict(self, error: BaseException) -> bool:
        said = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(said, errors.UniqueViolation):
            # Another store has made a job with this request_id meanwhile: it will be found.
            return said.diag.constraint_name == "pk_request"
        return isinstance(said, _CONFLICTS)

    def reads_on(self, _error: BaseException) -> bool:
        return False  # It takes no text that is none.

    def state(self, _connection: Connection) -> object:
        """Others may be writing: a row is to be locked, and so is read."""
        return None

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
            case str():
                return and_(kind == "string", said == value)
            case _:
                return and_(kind.in_(("object", "array")), said == dumps(value))

    def entry_begins(self, document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
        entry, said = _entry(document, name)
        return and_(func.json_typeof(entry) == "string", begins(said, prefix))


class _Notify(Hints):
    """LISTEN and NOTIFY on a channel for each kind of news. A hint of one's own is not heard."""

    def __init__(self) -> None:
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._heard: set[str] = set()
        self._pid = 0

    def listen(self, connection: Connection) -> None:
        driver = _driver(connection)
        driver.add_notify_handler(self._hear)  # for those that come while a statement is carried out
        self._pid = driver.pgconn.backend_pid
        for channel in _CHANNELS:
            driver.execute(f"LISTEN {channel}")
        self._heard.update(_CHANNELS)  # what came before has not been heard

    def send(self, connection: Connection, news: News) -> None:
        for channel, said in zip(_CHANNELS, news, strict=True):
            if said:
                _driver(connection).execute(f"NOTIFY {channel}")

    def wait(self, connection: Connection, seconds: float) -> News:
        driver = _driver(connection)
        if not self._heard:
            poll = select.poll()  # select takes no descriptor from 1024 on
            for fd in (driver.fileno(), self._wake):
                poll.register(fd, select.POLLIN)
            ready = dict(poll.poll(seconds * 1000))
            if self._wake in ready:
                os.eventfd_read(self._wake)
            if driver.fileno() in ready:
                driver.pgconn.consume_input()
                while (notify := driver.pgconn.notifies()) is not None:
                    self._note(notify.relname.decode(), notify.be_pid)
        heard = News(*(channel in self._heard for channel in _CHANNELS))
        self._heard.clear()
        return heard

    def _hear(self, notify: psycopg.Notify) -> None:
        self._note(notify.channel, notify.pid)

    def _note(self, channel: str, pid: int) -> None:
        if pid != self._pid:
            self._heard.add(channel)

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        os.close(self._wake)


def _driver(connection: Connection) -> "psycopg.Connection[Any]":
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the only driver of this dialect
    return driver


POSTGRESQL: Final[Dialect] = _Postgresql()


def _engine(
    url: str,
    purpose: str,
    connections: int,
    settings: Mapping[str, str],
    *,
    limits: Mapping[str, int | str] = _CONNECT,
) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    _refuse_standby(parsed)
    given = str(parsed.query.get("options", ""))
    options = " ".join((given, *(f"-c {name}={value}" for name, value in settings.items()))).strip()
    return create_engine(
        parsed,
        paramstyle="format",  # by place, for the statements that go to the driver as they are
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=limits is _CONNECT,  # the probe asks anyway, and a ping would wait for ever
        connect_args={**limits, "application_name": f"headrace {purpose}", "options": options},
    )


def _refuse_standby(url: URL) -> None:
    """Raise StoreRefused when URL or environment ask for a server that takes no writes."""
    wanted = str(url.query.get("target_session_attrs") or os.environ.get("PGTARGETSESSIONATTRS", ""))
    if wanted in _NO_WRITES:
        raise StoreRefused(
            f"target_session_attrs={wanted} asks for a server that takes no writes, and Headrace writes: "
            "give read-write or primary, or leave it out."
        )


def _read_only(driver: "psycopg.Connection[Any]", _record: Any) -> None:
    driver.read_only = True


def _bear(engine: Engine, name: str) -> None:
    def connect(_dialect: Any, _record: Any, _place: Any, parameters: dict[str, Any]) -> None:
        parameters["application_name"] = name

    event.listen(engine, "do_connect", connect)


def _entry(document: ColumnElement[Any], name: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """An entry of a JSON object as JSON, which keeps numbers as they were written, and as text."""
    whole = cast(document, JSON)
    return whole.op("->", return_type=JSON())(cast(name, Text)), whole.op("->>", return_type=Text())(
        cast(name, Text)
    )


@compiles(AnyOf, "postgresql")
def _among(among: AnyOf, compiler: SQLCompiler, **how: Any) -> str:
    column, entries = (compiler.process(part, **how) for part in among.clauses)
    # The array is made once and the index is sought for each of it; a join could be turned round.
    kind = next(iter(among.clauses)).type
    entry = f"json_array_elements_text(CAST({entries} AS JSON))"
    if isinstance(kind, Integer):
        entry = f"CAST({entry} AS BIGINT)"
    return f"{column} = ANY (ARRAY(SELECT {entry}))"


@compiles(Elements, "postgresql")
def _entries(entries: Elements, compiler: SQLCompiler, **how: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(entries.clauses, **how)} AS JSON))"


@compiles(ElementAt, "postgresql")
def _part(part: ElementAt, compiler: SQLCompiler, **how: Any) -> str:
    array, place = (compiler.process(each, **how) for each in part.clauses)
    return f"(CAST({array} AS JSON) ->> {place})"
