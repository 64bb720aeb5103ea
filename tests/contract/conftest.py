"""A store of its own for each test, on each kind of database; thrown away afterwards.

Every test that asks for `url` or `store` runs on SQLite and on PostgreSQL, but for those marked
only("sqlite") or only("postgresql").
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from contract.operations import Clock
from contract.tables import engine_of
from sqlalchemy import Engine

from headrace_server.domain.change import Change
from headrace_server.store import SqlStore
from headrace_server.store.opening import migrate
from support.listeners import Recorder

DATABASES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the contract on every database that it is for."""
    if "database" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        metafunc.parametrize("database", only.args if only else DATABASES)


@pytest.fixture
def clock() -> Clock:
    """The clock of the store."""
    return Clock()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with its tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of this test's own."""
    if database == "sqlite":
        template = request.getfixturevalue("template")
        yield f"sqlite:///{shutil.copy(template, request.getfixturevalue('tmp_path'))}"
        return
    yield request.getfixturevalue("shared_url")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Another way to it."""
    with engine_of(url) as made:
        yield made


@pytest_asyncio.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    """A store over it."""
    opened = SqlStore.open(url, durable=False, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def commits(store: SqlStore) -> list[list[Change]]:
    """What the store has told of each commit since."""
    told: list[list[Change]] = []
    store.listeners.append(Recorder(committed=lambda changes: told.append(list(changes))))
    return told
