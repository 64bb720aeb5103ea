"""A store of its own for each test: a file in a temporary directory, thrown away afterwards."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from contract.deeds import Clock

from headrace_server.domain.change import Change
from headrace_server.store import SqlStore, migrate


@pytest.fixture
def clock() -> Clock:
    """The clock of the store."""
    return Clock()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with its tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(tmp_path: Path, template: Path) -> str:
    """A database of this test's own."""
    return f"sqlite:///{shutil.copy(template, tmp_path)}"


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
