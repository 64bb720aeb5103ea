"""A look at a database file that changes nothing: not the file, nor its log, nor who may write."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from headrace_server.store.errors import StoreRefused
from headrace_server.store.opening import migrate
from headrace_server.store.sql.sqlite import damage as find_damage
from headrace_server.store.sql.sqlite import database_file, open_to_look


@dataclass(frozen=True, slots=True)
class SqliteInspection:
    """The findings of an inspection.

    `damage` has SQLite's own words, and is empty when all is well.
    """

    state: migrate.SchemaState
    damage: Sequence[str]


def inspect(url: str) -> SqliteInspection:
    """Look at the existing database of this URL. Raises StoreRefused when it cannot be read."""
    path = database_file(url)
    try:
        with closing(open_to_look(path)) as connection:
            damage = find_damage(connection)
            return SqliteInspection(migrate.state_of(_revision(connection)), damage)
    except sqlite3.Error as error:
        raise StoreRefused(f"The database {path} cannot be read: {error}.") from error


def _revision(connection: sqlite3.Connection) -> str | None:
    tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
    if not connection.execute(tables).fetchone()[0]:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])
