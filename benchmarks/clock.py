"""When the no-ops of worker processes ran: a page that they share with the benchmark.

Noting a run there takes a microsecond, where a result or a log line would cost much more. It is used in celery's own
environment and in the benchmark's, so it imports the standard library alone.
"""

import mmap
import struct
import time
from pathlib import Path
from typing import NamedTuple

PROCESSES_MAX = 16
_RECORD = struct.Struct("=qdd")


class Runs(NamedTuple):
    """How many no-ops have run, when the first began, and when the last ended: seconds since 1970."""

    count: int
    first: float
    last: float


class Clock:
    """The page in a file; every process has a record of its own in it."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(PROCESSES_MAX * _RECORD.size)
            self._page = mmap.mmap(file.fileno(), 0)

    def note(self, process: int) -> None:
        """A no-op of this process has run."""
        count, first, _ = _RECORD.unpack_from(self._page, process * _RECORD.size)
        now = time.time()
        _RECORD.pack_into(self._page, process * _RECORD.size, count + 1, first or now, now)

    def runs(self) -> Runs:
        """Those of all processes together."""
        records = [Runs(*record) for record in _RECORD.iter_unpack(self._page) if record[0]]
        return Runs(
            sum(runs.count for runs in records),
            min((runs.first for runs in records), default=0.0),
            max((runs.last for runs in records), default=0.0),
        )
