"""The number of jobs that are held or queued.

It is counted once, and kept up to date with what each COMMIT of this store changes.

What other stores change is counted anew now and then, by a reader, so that no write waits for it.
With a million waiting jobs that takes a good part of a second. The reader's view of the database
begins between two commits of this store: what was committed by then is in the count, what follows
is added to it, and nothing is both.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Final

from headrace_server.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)

RECOUNT_SECONDS: Final = 10.0
"""After so long what other stores have changed meanwhile is counted too."""
IDLE_SHARE: Final = 20
"""The pause between two counts is at least so many times as long as a count."""


class WaitingCount:
    """The count of one store, which its writers share.

    Where other stores write too, it is as old as the last count.
    """

    def __init__(self, now: int) -> None:
        self._counted = now
        self._changed = 0
        self._before = 0
        """What had been added when the latest count began."""
        self._lock = Lock()

    @property
    def now(self) -> int:
        """The count."""
        return self._counted + self._changed

    def _begin(self) -> None:
        self._before = self._changed

    def add(self, change: int) -> None:
        """A COMMIT has changed it. From any thread."""
        with self._lock:
            self._changed += change

    async def recount(self, count: Callable[[Callable[[], None]], Awaitable[int]]) -> None:
        """Count anew, again and again.

        count calls what it is given, from any thread, when its view begins: no commit that `add` is
        not told of yet is in the view, and none that it is told of later.
        """
        pause = RECOUNT_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                self._counted = await count(self._begin) - self._before
            except (StoreUnavailable, TimeoutError):
                pass  # What it was then is good enough until it can be counted.
            except Exception:
                logger.exception("The waiting jobs could not be counted, trying again")
            pause = max(RECOUNT_SECONDS, IDLE_SHARE * (time.monotonic() - began))
