"""What only SQLite says in its own way: connections, transactions, JSON, upsert. Nothing else here knows SQLite.

Python's sqlite3 opens transactions by itself, and only before writes: a SELECT and the UPDATE that follows from
it then lie in two of them, and one job is claimed twice. So the driver is told to leave transactions alone
(isolation_level None) and each begins explicitly: a writer's with BEGIN IMMEDIATE, which takes the write lock
before anything is read and waits for it (a deferred BEGIN fails at once when it is upgraded late), a reader's
with BEGIN, which keeps one snapshot for all its statements.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Subquery,
    TableValuedAlias,
    and_,
    bindparam,
    event,
    exists,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from headrace_server.store import schema
from headrace_server.store.refusal import StoreRefused

BUSY_TIMEOUT_MS: Final = 5000
"""How long a connection waits for another's write lock before it gives up."""

PRAGMAS: Final[Mapping[str, int | str]] = {
    "busy_timeout": BUSY_TIMEOUT_MS,
    "journal_mode": "WAL",
    "cache_size": -65_536,  # 64 MiB: the heads of all queues and the latest jobs stay in memory
    "journal_size_limit": 67_108_864,  # what the log may keep on disk after a checkpoint
    "temp_store": "MEMORY",
}


def database_path(url: URL) -> str:
    """The file of a URL such as sqlite:////var/lib/headrace/jobs.db. Raises StoreRefused for anything else."""
    if url.get_backend_name() != "sqlite":
        raise StoreRefused(
            f"The database {url.render_as_string()} is none that this version can use: give sqlite:///<path>."
        )
    path = url.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise StoreRefused(
            "The database must be a file: give sqlite:///<path> (a memory database has no WAL)."
        )
    return path


def set_up(engine: Engine, *, begin: str, pragmas: Mapping[str, int | str]) -> None:
    """Give every connection of the engine its pragmas, and every transaction its BEGIN."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for name, value in {**PRAGMAS, **pragmas}.items():
            connection.execute(f"PRAGMA {name} = {value}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def trouble(error: BaseException) -> str:
    """What the database says when it is locked, full, damaged or gone; "" for any other error.

    It is asked through SQLAlchemy or directly: the driver's error is in the one or is the other. DatabaseError itself
    is how it calls a damaged file; its other children are for bad data and bad statements.
    """
    said = getattr(error, "orig", error)
    own = isinstance(said, sqlite3.OperationalError | sqlite3.InternalError)
    return str(said) if own or type(said) is sqlite3.DatabaseError else ""


def keep_to_file(engine: Engine, path: Path) -> None:
    """From now on refuse to go on when the file is not the one that is there now.

    SQLite does not notice when its file is deleted or replaced: it would write on to what nobody can open any more,
    and a new connection would make an empty database in its place.
    """
    kept = _identity(path)

    def check(*_: Any) -> None:
        if _identity(path) != kept:
            raise sqlite3.OperationalError(
                f"its file {path} was deleted or replaced: put it back, or start the server anew"
            )

    event.listen(engine, "do_connect", check)
    event.listen(engine, "begin", check, insert=True)
    event.listen(engine, "commit", check)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def truncate_log(engine: Engine) -> None:
    """Write the log (-wal) back into the database and cut it to nothing, unless a reader is in the way."""
    connection = engine.raw_connection()
    cursor = connection.cursor()
    try:
        # Waiting for a reader here would keep whoever wants to write waiting.
        cursor.execute("PRAGMA busy_timeout = 0")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.close()
        connection.close()


def each(name: str) -> TableValuedAlias:
    """The entries of a bound JSON array, as rows with the column `value`."""
    return func.json_each(bindparam(name)).table_valued("value")


def pairs(name: str) -> Subquery:
    """The entries of a bound JSON array of pairs, as rows with the columns `first` and `second`."""
    pair = each(name)
    return select(
        func.json_extract(pair.c.value, "$[0]").label("first"),
        func.json_extract(pair.c.value, "$[1]").label("second"),
    ).subquery()


def upsert_result() -> Insert:
    """Keep a result, in the place of an earlier one of that name."""
    statement = insert(schema.job_result)
    return statement.on_conflict_do_update(
        index_elements=["job_id", "name"], set_={"body": statement.excluded.body}
    )


def entry_equals(document: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
    """Whether a JSON object has this entry, of the same kind: 1 is neither 1.0 nor true nor "1".

    Entries are compared as rows of json_each: a path such as $.name would need quoting, and has none for quotes.
    """
    entry = func.json_each(document).table_valued("key", "value", "type")
    match value:
        case None:
            same = entry.c.type == "null"
        case bool():
            same = entry.c.type == ("true" if value else "false")
        case int():
            same = and_(entry.c.type == "integer", entry.c.value == value)
        case float():
            same = and_(entry.c.type == "real", entry.c.value == value)
        case _:
            same = and_(entry.c.type == "text", entry.c.value == value)
    return exists().where(entry.c.key == name, same)


def entry_begins(document: ColumnElement[Any], name: str, prefix: str) -> ColumnElement[bool]:
    """Whether a JSON object has a text of this name that begins with the prefix."""
    entry = func.json_each(document).table_valued("key", "value", "type")
    text_entry = (entry.c.key == name, entry.c.type == "text")
    return exists().where(*text_entry, begins(entry.c.value, prefix))


def begins(text: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Whether a text begins with the prefix, taken literally: LIKE would read % and _ and fold case."""
    return func.substr(text, 1, len(prefix)) == prefix
