"""A transaction that may lose its connection."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction of which nothing is left unless the block commits it.

    What went wrong first is what is raised: that a lost connection cannot be rolled back either is
    no news.
    """
    with engine.connect() as connection:
        connection.begin()
        try:
            yield connection
        except BaseException as error:
            give_up(connection, error)
            raise


def give_up(connection: Connection, error: BaseException) -> None:
    """Roll back; a connection that is lost is thrown away."""
    with suppress(Exception):
        if connection.closed or connection.invalidated:
            return
        driver = connection.connection.dbapi_connection
        said: Any = getattr(error, "orig", error)
        if connection.dialect.is_disconnect(said, driver, None):
            connection.invalidate()
        connection.rollback()
