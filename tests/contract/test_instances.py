"""The rows of instances: the dead stay known for a day."""

from collections.abc import Iterator

import pytest
from contract.tables import connected
from sqlalchemy import Connection, text

from headrace_server.domain.ports.cluster import Instance
from headrace_server.store.cluster import instances

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A connection to a database that others may serve."""
    with connected(url) as connection:
        yield connection


def join(connection: Connection, name: str, now: int) -> None:
    """One more instance begins to live."""
    instances.join(connection, Instance(name, now, {}), (), now, alone=False)


def known(connection: Connection) -> dict[str, bool]:
    """The instances that are listed, and whether they live."""
    return {one.instance: one.live for one in instances.everyone(connection, held=False)}


def test_one_that_dies_after_days_is_listed(connection: Connection) -> None:
    """The row of an instance goes a day after its death was noticed, however long it has lived."""
    join(connection, "old", 1)
    died = 1 + 3 * DAY
    instances.mark_dead(connection, {"old": 1}, died)
    join(connection, "next", died + DAY - 1)
    assert known(connection) == {"old": False, "next": True}
    join(connection, "last", died + DAY + 1)
    assert known(connection) == {"next": True, "last": True}


def test_one_that_an_older_version_has_found_dead_is_listed(connection: Connection) -> None:
    """A death without a time, as an older version writes it, counts from the next join."""
    join(connection, "old", 1)
    connection.execute(text("UPDATE instance SET state = 2"))
    noticed = 1 + 3 * DAY
    for name, now in (("next", noticed), ("third", noticed + DAY - 1)):
        join(connection, name, now)
        assert "old" in known(connection)
    join(connection, "last", noticed + DAY + 1)
    assert "old" not in known(connection)
