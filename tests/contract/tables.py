"""A look into the database of a store from outside: on a connection of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from headrace_server.store import sql


def file_of(url: str) -> Path:
    """The file of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    """Another way to the database than the store's own."""
    engine = sql.of_url(url).owner_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection of another owner; what it changes is to be committed."""
    with engine_of(url) as engine, engine.connect() as connection:
        yield connection
