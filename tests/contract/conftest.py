"""A store of its own for each test, on each kind of database; thrown away afterwards.

Every test that asks for `url` or `store` runs on SQLite and on PostgreSQL, but for those marked only("sqlite") or
only("postgresql").
"""

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from contract.deeds import Clock

from headrace_server.domain.change import Change
from headrace_server.store import SqlStore, migrate
from support.postgresql import Server, cluster

DATABASES = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the contract on every database that it is for."""
    if "database" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        metafunc.parametrize("database", only.args if only else DATABASES)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have the server started before the test: else it would be taken for something that the test leaves behind."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if parameters.get("database") == "postgresql":
        item.fixturenames = ["postgresql_template", *item.fixturenames]  # type: ignore[attr-defined] # a function


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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server. A missing one fails in CI and for root, who can install it; else its tests are skipped."""
    running = cluster()
    try:
        server = running.__enter__()
    except FileNotFoundError as missing:
        if os.environ.get("CI") or os.geteuid() == 0:
            raise
        pytest.skip(str(missing))
    yield server
    running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def prefix() -> str:
    """What the names of this session's databases begin with: a server that was given may serve others too."""
    return f"headrace_test_{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Server, prefix: str) -> Iterator[str]:
    """The name of an empty PostgreSQL database with its tables, to be copied."""
    name = f"{prefix}_template"
    migrate.upgrade(postgresql.create(name))
    yield name
    postgresql.drop(name)


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of this test's own."""
    if database == "sqlite":
        template = request.getfixturevalue("template")
        yield f"sqlite:///{shutil.copy(template, request.getfixturevalue('tmp_path'))}"
        return
    server: Server = request.getfixturevalue("postgresql")
    name = f"{request.getfixturevalue('prefix')}_{secrets.token_hex(4)}"
    yield server.create(name, template=request.getfixturevalue("postgresql_template"))
    server.drop(name)


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
    store.on_commit = lambda changes: told.append(list(changes))
    return told
