"""PostgreSQL for tests: one server for the session (support.services), a database of its own for
each test that asks.

shared_url    a database with its tables, for stores and servers that share it
module_url    the same, for all tests of a module
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import services

if TYPE_CHECKING:
    from support.postgresql import Server

TEMPORARY = Path(tempfile.gettempdir())
"""That of the machine: the one that tests have later is closed to the user whom the server runs as.
"""
SHARED = "postgresql_template"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have the server started before the test: else it would be taken for something that the test
    leaves behind.
    """
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    names: list[str] = getattr(item, "fixturenames", [])
    if parameters.get("database") == "postgresql" or not {"shared_url", "module_url"}.isdisjoint(names):
        item.fixturenames = [SHARED, *names]  # type: ignore[attr-defined] # a function


@pytest.fixture(scope="session")
def postgresql(pytestconfig: pytest.Config) -> "Iterator[Server]":
    """A PostgreSQL server.

    A missing one fails in CI and for root, who can install it; else its tests are skipped.
    """
    from support.postgresql import cluster  # noqa: PLC0415 - see the module

    running = cluster(services.started(pytestconfig, services.POSTGRESQL))
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
    """What the names of this session's databases begin with: a server that was given may serve
    others too.
    """
    return f"headrace_test_{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def postgresql_template(postgresql: "Server", prefix: str) -> Iterator[str]:
    """The name of an empty PostgreSQL database with its tables, to be copied."""
    from headrace_server.store.opening import migrate  # noqa: PLC0415 - see the module

    name = f"{prefix}_template"
    migrate.upgrade(postgresql.create(name))
    yield name
    postgresql.drop(name)


@pytest.fixture
def shared_url(postgresql: "Server", postgresql_template: str, prefix: str) -> Iterator[str]:
    """A database of this test's own, with its tables."""
    yield from _copy(postgresql, postgresql_template, prefix)


@pytest.fixture(scope="module")
def module_url(postgresql: "Server", postgresql_template: str, prefix: str) -> Iterator[str]:
    """The same for all tests of a module."""
    yield from _copy(postgresql, postgresql_template, prefix)


def _copy(postgresql: "Server", template: str, prefix: str) -> Iterator[str]:
    name = f"{prefix}_{secrets.token_hex(4)}"
    yield postgresql.create(name, template=template)
    postgresql.drop(name)
