"""How many jobs are held or queued: counted once, and kept by what each COMMIT changes."""

import time
from threading import Lock
from typing import Final

from sqlalchemy import Connection

from headrace_server.store.work import count_waiting

RECOUNT_SECONDS: Final = 10.0
"""After so long what other stores have changed meanwhile is counted too."""


class Waiting:
    """The count of one store; its writers share it."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._lock = Lock()
        self._recount_at = time.monotonic() + RECOUNT_SECONDS

    def add(self, change: int) -> None:
        """A COMMIT has changed it."""
        with self._lock:
            self.now += change

    def recount(self, connection: Connection) -> None:
        """Count anew, if the last count is old."""
        if time.monotonic() > self._recount_at:
            counted = count_waiting(connection)
            with self._lock:
                self.now = counted
            self._recount_at = time.monotonic() + RECOUNT_SECONDS
