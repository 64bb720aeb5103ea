"""A server shared by the tests that leave it as it was; each test has a tenant of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace
from support.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared server."""
    with Server(tmp_path_factory.mktemp("server"), heartbeat_interval=0.2) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[headrace.Client]:
    """A client of the shared server, with a tenant of its own."""
    with server.client(tenant=f"t-{uuid.uuid4().hex[:8]}") as connected:
        yield connected


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A file that jobs write facts to."""
    return tmp_path / "note"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that jobs wait for."""
    return tmp_path / "gate"


@pytest.fixture
def server_with_one_worker(tmp_path: Path) -> Iterator[headrace.Client]:
    """A client of a server with one worker: what runs next is what was chosen next."""
    with Server(tmp_path, workers=1) as running, running.client() as connected:
        yield connected
