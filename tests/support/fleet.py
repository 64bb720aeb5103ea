"""Several servers on one PostgreSQL database."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.server import Server

LEASE = 2.0
"""Seconds: a fifth of the default, so that a death is noticed within a test's patience."""


class Fleet:
    """Makes servers of one database, and ends them: those that live must end when told."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.servers: dict[str, Server] = {}
        self._folder = folder
        self._ends = ExitStack()

    def make(self, name: str, kind: type[Server] = Server, **settings: Any) -> Server:
        """A server that is not started; its workspaces lie where those of the others do."""
        folder = self._folder / name
        folder.mkdir()
        shared = {"database_url": self.url, "workspace": self._folder / "workspaces", "lease_time": LEASE}
        server = self.servers[name] = kind(folder, **{**shared, "drain_time": 0.5, **settings})
        return server

    def start(self, name: str, kind: type[Server] = Server, **settings: Any) -> Server:
        """A server that serves."""
        server = self.make(name, kind, **settings)
        self._ends.callback(server.close)
        return server.start()

    def close(self) -> None:
        """End them all."""
        self._ends.close()


@contextmanager
def fleet(folder: Path, url: str) -> Iterator[Fleet]:
    """For as long as the block lasts."""
    made = Fleet(folder, url)
    try:
        yield made
    finally:
        made.close()
