"""The place of a run: its folder, its broker and its PostgreSQL, each started when it is asked for
first.
"""

import itertools
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))
from support import postgresql, rabbitmq  # noqa: E402 - the services of the tests


class Bench:
    """rounds: of each variant. scale: what counts of jobs are multiplied by."""

    def __init__(self, rounds: int, scale: float) -> None:
        self.rounds = rounds
        self.scale = scale
        self._ends = ExitStack()
        self._names = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def count(self, full: int, least: int = 10) -> int:
        """So many of a thing, by the scale."""
        return max(least, round(full * self.scale))

    def kept(self, made: Callable[[], Any]) -> Any:
        """Enter a context that lasts as long as the bench."""
        return self._ends.enter_context(made())

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder on the disk for the length of the block."""
        path = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @cached_property
    def broker(self) -> rabbitmq.Broker:
        """A RabbitMQ of the bench's own."""
        return self._ends.enter_context(rabbitmq.own())

    @cached_property
    def _server(self) -> postgresql.Server:
        cluster = self._ends.enter_context(postgresql.own(postgresql.DURABLE))
        server = postgresql.Server(cluster.url)
        self._ends.callback(server.close)
        return server

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database of a PostgreSQL that syncs every commit, for the length of the block;
        its URL.
        """
        name = f"bench_{os.getpid()}_{next(self._names)}_{secrets.token_hex(3)}"
        url = self._server.create(name)
        try:
            yield url
        finally:
            self._server.drop(name)
