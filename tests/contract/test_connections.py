"""The connections of a store to PostgreSQL."""

import pytest
from contract.tables import connected
from sqlalchemy import text

from headrace_server.store import SqlStore, sql

pytestmark = pytest.mark.only("postgresql")

OPEN = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'headrace reads'"
)


async def test_all_that_read_are_there_from_the_start(store: SqlStore, url: str) -> None:
    """A database that takes no new connections is read on those that there are."""
    assert store.waiting == 0
    with connected(url) as other:
        assert other.scalar(OPEN) == sql.of_url(url).readers
