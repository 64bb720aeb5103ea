"""SQLite: one file, one store, one writer at a time. Connections, transactions, JSON.

Python's sqlite3 opens transactions by itself, and only before writes: a SELECT and the UPDATE that
follows from it then lie in two of them, and one job is claimed twice. So the driver is told to
leave transactions alone (isolation_level None) and each begins explicitly: a writer's with BEGIN
IMMEDIATE, which takes the write lock before anything is read and waits for it (a deferred BEGIN
fails at once when it is upgraded late), a reader's with BEGIN, which keeps one snapshot for all its
statements.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    TableValuedAlias,
    and_,
    case,
    create_engine,
    event,
    exists,
    func,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from headrace_server.domain.values import dumps
from headrace_server.store.errors import StoreRefused
from headrace_server.store.sql import pinned_files
from headrace_server.store.sql.json_lists import AnyOf, ElementAt, Elements
from headrace_server.store.sql.pinned_files import PinnedFiles, pin
from headrace_server.store.sql.port import Dialect, Engines, begins

logger = logging.getLogger(__name__)

READERS: Final = 2
"""Python runs one of them at a time; the second is there while one waits."""

BUSY_TIMEOUT_MS: Final = 5000
"""How long a connection waits for another's write lock before it gives up."""

PRAGMAS: Final[Mapping[str, int | str]] = {
    "busy_timeout": BUSY_TIMEOUT_MS,
    "journal_mode": "WAL",
    "cache_size": -65_536,  # 64 MiB: the heads of all queues and the latest jobs stay in memory
    "journal_size_limit": 67_108_864,  # what the log may keep on disk after a checkpoint
    "temp_store": "MEMORY",
}


def database_path(url: str) -> str:
    """Return the file of a URL such as sqlite:////var/lib/headrace/jobs.db.

    Raises StoreRefused for anything else.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreRefused(f"{url!r} is no database URL: give sqlite:///<path>.") from error
    if parsed.get_backend_name() != "sqlite":
        raise StoreRefused(
            f"The database {parsed.render_as_string()} is none that this version can use: give sqlite:///<path>."
        )
    path = parsed.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise StoreRefused(
            "The database must be a file: give sqlite:///<path> (a memory database has no WAL)."
        )
    if "\0" in path:
        raise StoreRefused(f"{url!r} is no database URL: no path has a NUL.")
    if parsed.query:
        # Another file would be opened (uri=true) than the one that is locked, or nothing would come
        # of them.
        given = ", ".join(parsed.query)
        raise StoreRefused(
            f"The database {path} is opened as Headrace needs it: leave out of its URL {given}."
        )
    return path


def database_file(url: str) -> Path:
    """Return the file that a URL's path leads to, through links, as SQLite resolves it.

    The log of the database is beside that file.
    """
    path = database_path(url)
    try:
        return Path(os.path.realpath(path))
    except OSError as error:
        raise StoreRefused(f"The database {path} cannot be opened: {error.strerror}.") from error


def writer_engine(url: str, *, durable: bool) -> Engine:
    """Return the engine of the one connection that writes.

    `durable` means that a commit has reached the disk when it returns.
    """
    database_path(url)
    engine = create_engine(url, pool_size=1, max_overflow=0)
    set_up(engine, begin="BEGIN IMMEDIATE", pragmas={"synchronous": "FULL" if durable else "OFF"})
    return engine


def reader_engine(url: str, connections: int = READERS) -> Engine:
    """The engine of connections that only read; a write on one of them is an error."""
    database_path(url)
    engine = create_engine(url, pool_size=connections, max_overflow=0)
    set_up(engine, begin="BEGIN", pragmas={"query_only": "ON"})
    return engine


def set_up(engine: Engine, *, begin: str, pragmas: Mapping[str, int | str]) -> None:
    """Give every connection of the engine its pragmas, and every transaction its BEGIN."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for name, value in {**PRAGMAS, **pragmas}.items():
            connection.execute(f"PRAGMA {name} = {value}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if _damaged.is_set():
            driver: Any = connection.connection.driver_connection
            driver.text_factory = _text_or_bytes
        # Past SQLAlchemy, as every statement that is made often: see tables.statement.
        try:
            connection.connection.cursor().execute(begin)
        except sqlite3.Error as error:
            raise DBAPIError.instance(begin, None, error, sqlite3.Error) from error


_NO_TEXT: Final = "Could not decode to UTF-8"
_damaged: Final = threading.Event()
"""Whether a stored text that is not valid was met, in any database of this process.

Until then the driver decodes, which is faster.
"""


def _text_or_bytes(stored: bytes) -> str | bytes:
    """A text; its bytes where it is none: one such value is not to make a whole answer an error."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def open_to_look(path: Path) -> sqlite3.Connection:
    """Return a connection to an existing file that changes nothing in it.

    It may be used whether a server is writing to the file or not.
    """
    # Without a log nobody has written since the last checkpoint, and SQLite need not make the files
    # that go with one.
    still = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?mode=ro{still}", uri=True, isolation_level=None)


def damage(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong in a file, a line for each of the first ten.

    It takes as long as reading the whole file.
    """
    return [line for (line,) in connection.execute("PRAGMA quick_check(10)") if line != "ok"]


def unavailable_reason(error: BaseException) -> str:
    """Return why the database is locked, full, damaged or gone, in its own words.

    The text is empty for any other error.

    It is asked through SQLAlchemy or directly: the driver's error is in the one or is the other.
    DatabaseError itself is how it calls a damaged file; its other children are for bad data and bad
    statements.
    """
    said = getattr(error, "orig", error)
    own = isinstance(said, sqlite3.OperationalError | sqlite3.InternalError)
    return str(said) if own or type(said) is sqlite3.DatabaseError else ""


def truncate_log(engine: Engine) -> bool:
    """Write the log (-wal) back into the database and cut it to nothing.

    Return False when a reader was in the way. Raises what the files of the engine have come to.
    """
    pinned_files.check(engine)
    connection = engine.raw_connection()
    cursor = connection.cursor()
    try:
        # Waiting for a reader here would keep whoever wants to write waiting.
        cursor.execute("PRAGMA busy_timeout = 0")
        busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.close()
        connection.close()
    pinned_files.check(engine)  # it may have grown
    return not busy


def entry_equals(document: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
    """Return the condition that a JSON object has this entry, of the same kind.

    The number 1 is neither 1.0 nor true nor the string "1" here.

    Entries are compared as rows of json_each: a path such as $.name would need quoting, and has
    none for quotes.
    """
    entry = _entries_of(document)
    match value:
        case None:
            same = entry.c.type == "null"
        case bool():
            same = entry.c.type == ("true" if value else "false")
        case int():
            same = and_(entry.c.type == "integer", entry.c.value == value)
        case float():
            same = and_(entry.c.type == "real", entry.c.value == value)
        case str():
            same = and_(entry.c.type == "text", entry.c.value == value)
        case _:
            same = and_(entry.c.type.in_(("object", "array")), entry.c.value == dumps(value))
    return exists().where(entry.c.key == name, same)


def entry_begins(document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
    """Whether a JSON object has a text of this name that begins with the prefix."""
    entry = _entries_of(document)
    text_entry = (entry.c.key == name, entry.c.type == "text")
    return exists().where(*text_entry, begins(entry.c.value, prefix))


def _entries_of(document: ColumnElement[Any]) -> TableValuedAlias:
    """Return the entries of a JSON object; none of a text that is no JSON.

    json_each fails at such a text, and the query of a whole tenant would with it.
    """
    valid = case((func.json_valid(document) == 1, document))
    return func.json_each(valid).table_valued("key", "value", "type")


class _Sqlite(Dialect):
    """SQLite. Its write lock is the only one, and a COMMIT that fails was taken back."""

    shared = False
    readers = READERS

    def place(self, url: str) -> str:
        return database_path(url)

    def engines(self, url: str, *, durable: bool) -> Engines:
        writes = writer_engine(url, durable=durable)
        probe = reader_engine(url, 1)
        return Engines(writes, reader_engine(url), claims=writes, beats=writes, tail=writes, probe=probe)

    def hints(self) -> None:
        return None

    def owner_engine(self, url: str) -> Engine:
        return writer_engine(url, durable=True)

    def check(self, connection: Connection, place: str) -> None:
        """A file holds every text, whatever it is encoded in."""

    def hold_schema(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE has done it."""

    def share_gates(self, connection: Connection, *, wait: bool) -> bool:  # noqa: ARG002 - the lock is held
        """BEGIN IMMEDIATE has done it."""
        return True

    def hold_gates(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE has done it."""

    def pin_to_file(self, engines: Engines, url: str) -> None:
        files = PinnedFiles(Path(database_path(url)))
        for engine in {engines.writes, engines.reads, engines.probe}:
            pin(engine, files)

    def name(self, engines: Engines, numbers: Sequence[int]) -> None:
        """There are no others."""

    def terminate(self, connection: Connection, numbers: Sequence[int]) -> None:
        """The kernel has."""

    def ask(self, probe: Engine, _seconds: float) -> None:
        """A file answers or says why not, and that it is there is seen at BEGIN."""
        with probe.begin() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM duty")  # which reads a page

    def unavailable_reason(self, error: BaseException) -> str:
        return unavailable_reason(error)

    def is_conflict(self, _error: BaseException) -> bool:
        return False

    def reads_on(self, error: BaseException) -> bool:
        if _damaged.is_set() or not unavailable_reason(error).startswith(_NO_TEXT):
            return False
        logger.error("A text in the database is not UTF-8, and only its job is held up: %s", error)
        _damaged.set()
        return True

    def state(self, connection: Connection) -> object:
        """A number of each connection's own: so the connection is a part of it."""
        driver: Any = connection.connection.driver_connection
        (version,) = connection.connection.cursor().execute("PRAGMA data_version").fetchone()
        return driver, version

    def write_back(self, engine: Engine) -> bool:
        return truncate_log(engine)

    def entry_equals(self, document: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
        return entry_equals(document, name, value)

    def entry_begins(self, document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
        return entry_begins(document, name, prefix)


SQLITE: Final[Dialect] = _Sqlite()


@compiles(AnyOf, "sqlite")
def _among(among: AnyOf, compiler: SQLCompiler, **how: Any) -> str:
    column, entries = (compiler.process(part, **how) for part in among.clauses)
    return f"{column} IN (SELECT value FROM json_each({entries}))"  # noqa: S608 no outside text


@compiles(Elements, "sqlite")
def _entries(entries: Elements, compiler: SQLCompiler, **how: Any) -> str:
    return f"json_each({compiler.process(entries.clauses, **how)})"


@compiles(ElementAt, "sqlite")
def _part(part: ElementAt, compiler: SQLCompiler, **how: Any) -> str:
    array, place = (compiler.process(each, **how) for each in part.clauses)
    return f"json_extract({array}, '$[{place}]')"
