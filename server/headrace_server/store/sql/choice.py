"""The choice of the database that a URL or a connection means.

A server that serves a file does not load what PostgreSQL needs.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError

from headrace_server.store.errors import StoreRefused
from headrace_server.store.sql.port import Dialect
from headrace_server.store.sql.sqlite import SQLITE


@cache
def _postgresql() -> Dialect:
    from headrace_server.store.sql.postgresql import POSTGRESQL  # noqa: PLC0415 - see the module

    return POSTGRESQL


_DIALECTS: Final[dict[str, Callable[[], Dialect]]] = {"postgresql": _postgresql, "sqlite": lambda: SQLITE}


def of(connection: Connection) -> Dialect:
    """The database at the other end of a connection."""
    return _DIALECTS[connection.dialect.name]()


def of_url(url: str) -> Dialect:
    """The database of a URL. Raises StoreRefused when it names none that this version can use."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreRefused(f"{url!r} is no database URL: give sqlite:///<path>.") from error
    found = _DIALECTS.get(parsed.get_backend_name())
    if found is None:
        raise StoreRefused(
            f"The database {parsed.render_as_string()} is none that this version can use: give sqlite:///<path>."
        )
    return found()
