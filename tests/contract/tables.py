"""A look into the database of a store from outside: on a connection of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from headrace_server.store import sql


def file_of(url: str) -> Path:
    """The file of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection of somebody else; what it changes is to be committed."""
    engine = sql.of_url(url).owner_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
