"""The encoding of a connection is Headrace's own, whatever is said around it; a database that
cannot hold every text is refused.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from contract.operations import FAULT, finish, now, run

from headrace_server.domain.spec import RetryPolicy
from headrace_server.store import SqlStore, StoreRefused
from headrace_server.store.opening import migrate

if TYPE_CHECKING:
    from support.postgresql import Server

pytestmark = pytest.mark.only("postgresql")
TEXT = "Grüße 😀 \N{LATIN CAPITAL LETTER A WITH MACRON}"
OTHERS = ("LATIN1", "SQL_ASCII")


@pytest.fixture(params=["environment", "URL", "options", "PGOPTIONS", "database"])
def told(request: pytest.FixtureRequest, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database; somebody says that its clients speak LATIN1."""
    match request.param:
        case "environment":
            monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
        case "URL":
            return f"{url}?client_encoding=latin1"
        case "options":
            return f"{url}?options=-c%20client_encoding%3Dlatin1"
        case "PGOPTIONS":
            monkeypatch.setenv("PGOPTIONS", "-c client_encoding=latin1")
        case "database":
            with psycopg.connect(url, autocommit=True) as connection:
                name = connection.info.dbname
                connection.execute(f'ALTER DATABASE "{name}" SET client_encoding = LATIN1'.encode())
    return url


async def test_every_text_is_stored_whatever_the_surroundings_say(told: str) -> None:
    """A result and an error with an emoji end their jobs, and are read as they were."""
    store = SqlStore.open(told, durable=False)
    try:
        made = await run(store, description=TEXT)
        await finish(store, made, result=f'"{TEXT}"')
        full = await store.get(made.job_id, tenant="default", payload=True)
        assert full.payload is not None
        assert (full.job.description, full.payload.result) == (TEXT, f'"{TEXT}"')
        failed = await run(store, retry=RetryPolicy())
        await finish(store, failed, error=replace(FAULT, message=TEXT))
        error = (await now(store, failed)).error
        assert error is not None
        assert error.message == TEXT
    finally:
        await store.close()


@pytest.fixture(params=OTHERS)
def narrow(
    request: pytest.FixtureRequest, postgresql: "Server", shared_url: str
) -> Iterator[tuple[str, str]]:
    """The URL of an empty database with an encoding of its own, and that encoding."""
    name = f"{shared_url.rpartition('/')[2]}_narrow"
    with psycopg.connect(shared_url, autocommit=True) as connection:
        connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING \'{request.param}\' LOCALE "C"'.encode()
        )
    yield f"{shared_url.rpartition('/')[0]}/{name}", request.param
    postgresql.drop(name)


def test_a_database_that_cannot_hold_every_text_is_refused(narrow: tuple[str, str]) -> None:
    """The sentence names its encoding, and how to make one that can."""
    url, encoding = narrow
    for begin in (migrate.upgrade, migrate.check):
        with pytest.raises(StoreRefused, match=rf"is encoded in {encoding}, .*ENCODING 'UTF8'"):
            begin(url)
