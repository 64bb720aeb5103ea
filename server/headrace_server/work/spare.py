"""The spare: a child that loads the modules, or has loaded them, before any slot needs it.

A slot whose child goes takes the spare in its place, and another is started. So who waits behind a run that cost its worker
does not wait for imports, and a storm of stops takes little from the others. There is one for a pool, started when every
slot has a child of its own that is up: there it takes no time from anybody who waits.
"""

import asyncio
import logging
from collections.abc import Callable

from headrace_server.work.born import Born, born
from headrace_server.work.supervision import Supervision

log = logging.getLogger(__name__)

WAIT_FIRST, WAIT_MAX = 1.0, 60.0
"""Seconds until the next one, when some have ended before they were up. Doubling."""


class Spare:
    """The spare of a pool. settled: whether every slot has a child that is up."""

    def __init__(self, supervision: Supervision, settled: Callable[[], bool]) -> None:
        self._supervision = supervision
        self._settled = settled
        self._born: Born | None = None
        self._fallen = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def life(self) -> int | None:
        """The number of the child; None without one."""
        return None if self._born is None else self._born.life

    def spawn(self) -> None:
        """Have one started, unless there is one, or a slot needs the time more."""
        if self._born is not None or self._timer is not None:
            return
        if self._supervision.up and self._settled():
            try:
                self._born = born(self._supervision)
            except OSError:
                log.exception("no spare worker could be started")

    def take(self) -> Born | None:
        """Have it, loaded or still loading: it is ahead of one that is started now."""
        taken, self._born = self._born, None
        return taken

    def ended(self) -> None:
        """It has ended without a slot; another follows, after a wait when it was not up."""
        gone = self.take()
        if gone is None:
            return
        gone.read()
        gone.line.close()
        self._fallen = 0 if gone.said else self._fallen + 1
        wait = min(WAIT_MAX, WAIT_FIRST * 2 ** min(self._fallen - 1, 10)) if self._fallen else 0.0
        self._timer = asyncio.get_running_loop().call_later(wait, self._spawn_again)

    def abandon(self) -> None:
        """No other is wanted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _spawn_again(self) -> None:
        self._timer = None
        self.spawn()
