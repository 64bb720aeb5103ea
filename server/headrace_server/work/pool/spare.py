"""The spare: a child that loads the modules, or has loaded them, before any slot needs it.

A slot whose child goes takes the spare in its place, and another is started. So who waits behind a
run that cost its worker does not wait for imports, and a storm of stops takes little from the
others. There is one for a pool, and one for each slot where types want a fresh worker for each run.
They are started when every slot has a child of its own that is up: then they take no time from
anybody who waits. One that hangs in its imports is told of and killed, as in a slot.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from headrace_server.work.pool.born import Born, born
from headrace_server.work.pool.overdue import DYING, STARTING, Overdue
from headrace_server.work.pool.supervisor_client import SupervisorClient

log = logging.getLogger(__name__)

WAIT_FIRST, WAIT_MAX = 1.0, 60.0
"""Seconds until the next one, when some have ended before they were up. Doubling."""

NAME = "reserve"
"""The name in the log of a worker that has no slot yet."""


class Spare:
    """The spares of a pool: one, or as many as are wanted.

    `settled`: whether every slot has a child that is up.
    """

    def __init__(self, supervision: SupervisorClient, settled: Callable[[], bool]) -> None:
        self.wanted = 1
        self._supervision = supervision
        self._settled = settled
        self._born: list[Born] = []
        self._overdue: dict[int, Overdue] = {}
        """Of each, by its life."""
        self._killed: set[int] = set()
        self._fallen = 0
        self._timer: asyncio.TimerHandle | None = None

    def spawn(self) -> None:
        """Have those started that are missing, unless a slot needs the time more."""
        try:
            while self._timer is None and len(self._born) < self.wanted:
                if not self._supervision.up or not self._settled():
                    return
                self._add(born(self._supervision))
        except OSError:
            log.exception("no spare worker could be started")

    def _add(self, child: Born) -> None:
        def read() -> None:
            child.read()
            if child.loaded:
                overdue.expect(None)

        pids, life = self._supervision.pids, child.life
        overdue = Overdue(NAME, lambda: pids.get(life), lambda: self._kill(life))
        overdue.expect(STARTING, since=child.at)
        child.line.watch(read, child.read_output)
        self._born.append(child)
        self._overdue[life] = overdue

    def _kill(self, life: int) -> None:
        self._killed.add(life)
        self._supervision.signal(life, signal.SIGKILL)
        self._overdue[life].expect(DYING)

    def take(self) -> Born | None:
        """Have one, loaded or still loading: it is ahead of one that is started now."""
        alive = [child for child in self._born if child.life not in self._killed]
        first = next((child for child in alive if child.loaded), next(iter(alive), None))
        if first is not None:
            self._remove(first)
        return first

    def _remove(self, child: Born) -> None:
        self._born.remove(child)
        self._killed.discard(child.life)
        self._overdue.pop(child.life).expect(None)

    def older(self, since: float) -> list[Born]:
        """Take the spares that were started before `since`, by the monotonic clock.

        What they have loaded is of that time.
        """
        old = [child for child in self._born if child.at < since and child.life not in self._killed]
        for child in old:
            self._remove(child)
        return old

    def ended(self, life: int) -> bool:
        """One may have ended without a slot; another follows, after a wait when it was not up."""
        gone = next((child for child in self._born if child.life == life), None)
        if gone is None:
            return False
        self._remove(gone)
        gone.read()
        gone.line.close()
        self._fallen = 0 if gone.loaded else self._fallen + 1
        wait = min(WAIT_MAX, WAIT_FIRST * 2 ** min(self._fallen - 1, 10)) if self._fallen else 0.0
        self.abandon()
        self._timer = asyncio.get_running_loop().call_later(wait, self._spawn_again)
        return True

    def clear(self) -> None:
        """All have ended."""
        for child in list(self._born):
            self._remove(child)
            child.line.close()
        self.abandon()

    def abandon(self) -> None:
        """No other is wanted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _spawn_again(self) -> None:
        self._timer = None
        self.spawn()
