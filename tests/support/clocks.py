"""A server whose store has another clock than the machine: an hour ahead, or behind.

python -m support.clocks 3600 serve
"""

import sys
from functools import partial
from pathlib import Path

from headrace_server.store.store import SqlStore, wall_clock
from support.phases import Doomed, serve


class Skewed(Doomed):
    """A server whose clock is off by so many seconds."""

    def __init__(self, folder: Path, skew: int, **settings: object) -> None:
        super().__init__(folder, command=(sys.executable, "-m", "support.clocks", str(skew)), **settings)


def _off(skew: int) -> int:
    return wall_clock() + skew * 1_000_000


class SkewedStore(SqlStore):
    """Asks another clock."""

    skew = 0

    @classmethod
    def open(cls, url: str, **options: object) -> "SkewedStore":
        """Open the database."""
        return super().open(url, **{**options, "clock": partial(_off, cls.skew)})  # type: ignore[arg-type]


if __name__ == "__main__":
    SkewedStore.skew = int(sys.argv.pop(1))
    serve(store=SkewedStore)
