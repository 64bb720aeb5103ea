"""The steps from no tables to those of this code, and the short way for an empty database.

Each step is a file in migrations/. The short way is for a database without tables.

That way needs no Alembic, whose import costs a server a fifth of its start: `climb` has the long
way. A test proves that both end at the same tables with the same rows.
"""

import re
from pathlib import Path
from typing import Final

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from headrace_server.store.tables.schema import DUTIES, duty, metadata

MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"
_FILE: Final = re.compile(r"(?P<revision>\d{4}(?:_since_\d{4})?)_\w+\.py")

_version: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic makes it."""


def revisions() -> list[str]:
    """Return the revisions that this code knows, from the first to the head.

    The names of the files begin with their revisions.
    """
    names = (_FILE.fullmatch(path.name) for path in (MIGRATIONS / "versions").iterdir())
    return sorted(found["revision"] for found in names if found)


def current(connection: Connection) -> str | None:
    """The revision that a database bears; None for one without tables."""
    if not inspect(connection).has_table(_version.name):
        return None
    found: str | None = connection.scalar(select(_version.c.version_num))
    return found


def make(connection: Connection, head: str) -> None:
    """Give a database without tables those of this code."""
    _version.create(connection, checkfirst=True)
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(duty), [{"name": name, "turn": 0} for name in DUTIES])
    connection.execute(insert(_version), {"version_num": head})
