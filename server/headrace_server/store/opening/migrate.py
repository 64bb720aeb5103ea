"""The schema's version: what the database has, what this code wants, and how to get there.

All steps of an upgrade are one transaction. A database without tables gets those of this code at
once.

**Two versions side by side.** While instances are replaced one by one, the first new one has
changed the tables and old ones still serve them, or are started again. So a change is made in two
versions: one *expands* the tables (adds what old code does not miss), a later one *contracts* them
(takes away what nobody uses any more). Which code a change leaves able to serve is said by the name
of its revision, and so by the database itself:

    0007_since_0006   these tables serve code that knows schema 0006 or later
    0007              these tables serve no code that is older than they are

         code that knows 0006                    code that knows 0007
    database 0006   serves it                    upgrades it, and serves it
    0007_since_0006 serves it as it is           serves it
    0007            refuses: "written by a newer Headrace"

A database that is newer than the code and does not say that it serves it is refused, not guessed
at.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from headrace_server.store import sql
from headrace_server.store.errors import SchemaMismatch
from headrace_server.store.opening import steps
from headrace_server.store.sql import refused

logger = logging.getLogger(__name__)

_REVISION: Final = re.compile(r"(?P<number>\d{4})(?:_since_(?P<since>\d{4}))?")


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema version of a database, and what this code can do with it.

    current is None for one without tables, known tells whether this code has met it, serves whether
    this code can work with its tables though it has not.
    """

    current: str | None
    head: str
    known: bool
    serves: bool = False

    @property
    def up_to_date(self) -> bool:
        """True when the tables are those of this code."""
        return self.current == self.head


def state(url: str) -> SchemaState:
    """Return the schema state of the database of this URL.

    Raises StoreRefused when it cannot be opened.
    """
    with _opened(url) as connection:
        return _read(connection)


def state_of(revision: str | None) -> SchemaState:
    """Return the schema state of a database that bears this revision."""
    met = steps.revisions()
    head = met[-1]
    known = revision is None or revision in met
    return SchemaState(revision, head, known, serves=not known and _serves(revision or "", head))


def _serves(revision: str, head: str) -> bool:
    """Whether tables that are newer than this code's say that they serve it."""
    newer, own = _REVISION.fullmatch(revision), _REVISION.fullmatch(head)
    if newer is None or own is None or newer["since"] is None:
        return False
    return int(newer["since"]) <= int(own["number"]) < int(newer["number"])


def check(url: str) -> None:
    """Raise SchemaMismatch unless this code can work with the tables."""
    found = state(url)
    _refuse_newer(url, found)
    if not (found.up_to_date or found.serves):
        raise SchemaMismatch(
            f"The database {sql.of_url(url).place(url)} has the tables of {_named(found.current)}, "
            f"and this version needs {_named(found.head)}: upgrade it first."
        )


def upgrade(url: str) -> None:
    """Bring the database to the tables of this code.

    A SQLite database is made if there is none, and its lock must be held during the call.

    One that is newer and serves this code stays as it is. Raises SchemaMismatch when it is newer
    and does not, StoreRefused when it cannot be opened.
    """
    with _opened(url) as connection:
        sql.of(connection).hold_schema(connection)
        found = _read(connection)
        _refuse_newer(url, found)
        if found.serves:
            logger.info("the database has the newer %s, which serves this version too", _named(found.current))
        elif found.current is None:
            steps.make(connection, found.head)
        elif not found.up_to_date:
            from headrace_server.store.opening.climb import climb  # noqa: PLC0415 - Alembic is loaded for this alone

            climb(connection)


@contextmanager
def _opened(url: str) -> Iterator[Connection]:
    database = sql.of_url(url)
    engine = database.owner_engine(url)
    try:
        with engine.begin() as connection:
            database.check(connection, database.place(url))
            yield connection
    except DatabaseError as error:
        raise refused(database, url, "cannot be used", error) from error
    finally:
        engine.dispose()


def _read(connection: Connection) -> SchemaState:
    return state_of(steps.current(connection))


def _refuse_newer(url: str, found: SchemaState) -> None:
    if not (found.known or found.serves):
        raise SchemaMismatch(
            f"The database {sql.of_url(url).place(url)} was written by a newer Headrace ({_named(found.current)}; this "
            f"version knows up to {_named(found.head)}): upgrade Headrace, or give another database."
        )


def _named(revision: str | None) -> str:
    return f"schema {revision}" if revision else "no schema"
