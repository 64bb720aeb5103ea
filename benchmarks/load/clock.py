"""The times at which the no-ops of worker processes ran: a page that they share with the benchmark.

Noting a run there takes a microsecond, where a result or a log line would cost much more. Peers use
it in their own environments, so it imports the standard library alone.
"""

import mmap
import os
import struct
import threading
import time
from pathlib import Path
from typing import NamedTuple

PROCESSES = 256
_RECORD = struct.Struct("=qdd")


class Runs(NamedTuple):
    """How many no-ops have run, when the first began, and when the last did: seconds since 1970."""

    count: int
    first: float
    last: float


class Clock:
    """The page in a file. Every process has a record of its own in it, by its id."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(PROCESSES * _RECORD.size)
            self._page = mmap.mmap(file.fileno(), 0)
        self._lock = threading.Lock()

    def note(self) -> None:
        """A no-op of this process runs."""
        place = os.getpid() % PROCESSES * _RECORD.size
        now = time.time()
        with self._lock:
            count, first, _ = _RECORD.unpack_from(self._page, place)
            _RECORD.pack_into(self._page, place, count + 1, first or now, now)

    def runs(self) -> Runs:
        """Those of all processes together."""
        records = [Runs(*record) for record in _RECORD.iter_unpack(self._page) if record[0]]
        return Runs(
            sum(runs.count for runs in records),
            min((runs.first for runs in records), default=0.0),
            max((runs.last for runs in records), default=0.0),
        )

    def rate(self, count: int, *, quiet: float = 20.0) -> float:
        """No-ops a second, from the first to the last of so many; waits while more of them run.

        Raises TimeoutError when none has run for `quiet` seconds.
        """
        seen, since = 0, time.monotonic()
        while (runs := self.runs()).count < count:
            if runs.count > seen:
                seen, since = runs.count, time.monotonic()
            if time.monotonic() > since + quiet:
                raise TimeoutError(f"{runs.count} of {count} no-ops ran, then none for {quiet:g} s")
            time.sleep(0.02)
        return (runs.count - 1) / (runs.last - runs.first)
