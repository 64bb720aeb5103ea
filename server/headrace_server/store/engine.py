"""Engines: one connection that writes, a few that read."""

from typing import Final

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from headrace_server.store import dialect
from headrace_server.store.refusal import StoreRefused

READERS: Final = 2
"""Connections, and threads, for reads. Python runs one of them at a time; the second is there while one waits."""


def database_path(url: str) -> str:
    """The database file of a URL. Raises StoreRefused when the URL names no database that this version can use."""
    try:
        return dialect.database_path(make_url(url))
    except ArgumentError as error:
        raise StoreRefused(f"{url!r} is no database URL: give sqlite:///<path>.") from error


def writer_engine(url: str, *, durable: bool) -> Engine:
    """The engine of the one connection that writes. durable: a commit has reached the disk when it returns."""
    database_path(url)
    engine = create_engine(url, pool_size=1, max_overflow=0)
    pragmas = {"synchronous": "FULL" if durable else "OFF"}
    dialect.set_up(engine, begin="BEGIN IMMEDIATE", pragmas=pragmas)
    return engine


def reader_engine(url: str) -> Engine:
    """The engine of the connections that only read; a write on one of them is an error."""
    database_path(url)
    engine = create_engine(url, pool_size=READERS, max_overflow=0)
    dialect.set_up(engine, begin="BEGIN", pragmas={"query_only": "ON"})
    return engine
