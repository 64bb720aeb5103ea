"""A Headrace server as it is shipped: `serve`, in a process of its own, every commit synced."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace_server.testing import LocalServer

ROOT = Path(__file__).parents[1]


@contextmanager
def serving(folder: Path, *, workers: int) -> Iterator[str]:
    """A server on the database in `folder` for the length of the block; its host:port."""
    with LocalServer(folder, ["benchmarks.noops"], path=[ROOT], workers=workers) as server:
        yield server.target
