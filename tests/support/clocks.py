"""A server that has another clock than its machine: an hour ahead, or behind, and stepped while it
runs.

python -m support.clocks FILE serve

The file says by how many seconds. What tells the time in the server's process is off by that;
stopwatches are not, as where the clock of a machine is.
"""

import sys
import time
from pathlib import Path

from support.phases import Doomed, serve


class Skewed(Doomed):
    """A server whose clock is off by so many seconds."""

    def __init__(self, folder: Path, skew: int, **settings: object) -> None:
        self._skew = folder / "skew"
        super().__init__(
            folder, command=(sys.executable, "-m", "support.clocks", str(self._skew)), **settings
        )
        self.step(skew)

    def step(self, skew: int) -> None:
        """From now on its clock is off by so many seconds."""
        new = self._skew.with_suffix(".new")
        new.write_text(str(skew))
        new.rename(self._skew)


def put_off(file: Path) -> None:
    """Have the clock of this process off by what the file says."""
    right = time.time_ns

    def off() -> int:
        return right() + int(file.read_text()) * 1_000_000_000

    time.time_ns = off
    time.time = lambda: off() / 1e9


if __name__ == "__main__":
    put_off(Path(sys.argv.pop(1)))
    serve()
