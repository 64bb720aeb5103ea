"""Limit the time that a child has for each step of its own, and act when it is late.

    spawned ── STARTING ──> "ready" ── handed a run: TAKING ──> "begun" ── the job's own time: its timeout, a stop
                                                                 "retiring" ── LEAVING ──> ended
                                                                    killed ── DYING ──> ended

Each has a line in the log when it is late, and all but the last end with SIGKILL: else a slot would
be lost for good, and the runs that wait in it would stay RUNNING. A child is late when it hangs
where no timeout of a job counts, with its signals blocked, or stopped by somebody; one that is dead
and does not go is held by the kernel, and can only be told of.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

log = logging.getLogger(__name__)


class Step(NamedTuple):
    """A step that is waited for.

    `tell`: seconds until that is logged. `kill`: seconds until the child is killed, or None where
    that is no help.
    """

    what: str
    tell: float
    kill: float | None


STARTING = Step("loaded its modules", 30.0, 300.0)
TAKING = Step("taken the run that it was handed", 10.0, 30.0)
LEAVING = Step("ended, as it said that it would", 10.0, 15.0)
DYING = Step("gone, though it was killed: see what the kernel waits for in it (state D)", 10.0, None)


class Overdue:
    """The step that one child is expected to take.

    A step costs no timer of its own: there are thousands in a second.
    """

    def __init__(self, worker: str, pid: Callable[[], int | None], kill: Callable[[], None]) -> None:
        self._worker = worker
        self._pid = pid
        self._kill = kill
        self._expected: tuple[Step | None, int] = (None, 0)
        self._since = 0.0
        self._next = 0.0
        """Seconds after `_since` at which there is something to do."""
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, step: Step | None, number: int = 0, *, since: float | None = None) -> None:
        """Expect this step from now on, or from `since`.

        The same step with the same number stays expected from when it was first.
        """
        if (step, number) == self._expected:
            return
        self._expected = (step, number)
        if step is not None:
            self._since, self._next = time.monotonic() if since is None else since, step.tell
            self._arm()

    def _arm(self) -> None:
        """One timer, that comes soon enough: when it comes too early it is put off."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._since + self._next - time.monotonic()
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        step, _ = self._expected
        if step is None:
            return
        late = time.monotonic() - self._since
        if late >= self._next:
            kill = step.kill is not None and self._next >= step.kill
            self._say(step, late, kill=kill)
            if kill:
                self._kill()
                return
            self._next = self._next * 2 if step.kill is None else step.kill
        self._arm()

    def _say(self, step: Step, late: float, *, kill: bool) -> None:
        level, then = (logging.ERROR, ": it is killed") if kill else (logging.WARNING, "")
        text = "after %d s the worker process %s has not %s%s"
        log.log(level, text, late, self._pid(), step.what, then, extra={"worker": self._worker})
