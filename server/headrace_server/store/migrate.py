"""The schema's version: what the database has, what this code wants, and the way from one to the other.

A database that is newer than the code is refused, not guessed at. All steps of an upgrade are one transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from headrace_server.store import dialect
from headrace_server.store.dialect import refused
from headrace_server.store.refusal import SchemaMismatch

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where a database stands: current is None for one without tables, known tells whether this code has met it."""

    current: str | None
    head: str
    known: bool

    @property
    def up_to_date(self) -> bool:
        """True when the tables are those of this code."""
        return self.current == self.head


def state(url: str) -> SchemaState:
    """Where the database of this URL stands. Raises StoreRefused when it cannot be opened."""
    with _opened(url) as connection:
        return _read(connection)


def state_of(revision: str | None) -> SchemaState:
    """What it means that a database bears this revision."""
    script = ScriptDirectory.from_config(_config())
    known = revision is None or revision in {step.revision for step in script.walk_revisions()}
    return SchemaState(revision, script.get_current_head() or "", known)


def check(url: str) -> None:
    """Raise SchemaMismatch unless the tables are those of this code."""
    found = state(url)
    _refuse_newer(url, found)
    if not found.up_to_date:
        raise SchemaMismatch(
            f"The database {dialect.of_url(url).place(url)} has the tables of {_named(found.current)}, "
            f"and this version needs {_named(found.head)}: upgrade it first."
        )


def upgrade(url: str) -> None:
    """Bring the database to the tables of this code; make it if there is none (SQLite). SQLite: call it with the lock held.

    Raises SchemaMismatch when it is newer than the code, StoreRefused when it cannot be opened.
    """
    with _opened(url) as connection:
        dialect.of(connection).hold_schema(connection)
        found = _read(connection)
        _refuse_newer(url, found)
        if not found.up_to_date:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextmanager
def _opened(url: str) -> Iterator[Connection]:
    database = dialect.of_url(url)
    engine = database.owner_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    except DatabaseError as error:
        raise refused(database, url, "cannot be used", error) from error
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    # configparser reads % in a path as the start of a name.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _read(connection: Connection) -> SchemaState:
    return state_of(MigrationContext.configure(connection).get_current_revision())


def _refuse_newer(url: str, found: SchemaState) -> None:
    if not found.known:
        raise SchemaMismatch(
            f"The database {dialect.of_url(url).place(url)} was written by a newer Headrace ({_named(found.current)}; this "
            f"version knows up to {_named(found.head)}): upgrade Headrace, or give another database."
        )


def _named(revision: str | None) -> str:
    return f"schema {revision}" if revision else "no schema"
