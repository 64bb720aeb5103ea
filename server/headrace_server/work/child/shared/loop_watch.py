"""See that the event loop of a shared child is blocked, and say by whom.

The loop ticks 20 times in a second. A thread notices that it does not; it can, as long as the code
that blocks gives the interpreter to other threads, which all but some C code does.
"""

import threading
import time
from collections.abc import Callable

BLOCKED = 2.0
"""Seconds without a tick after which it is told."""

_LOOK = 0.5


class LoopWatch:
    """The watch over the loop of one child. blocked is called by the watch's thread, once a block."""

    def __init__(self) -> None:
        self._blocked: Callable[[float], None] | None = None
        self._on = threading.Event()
        self._ticked_at = 0.0
        self._told_of = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have a thread, which watches when there is a loop. It stays."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="headrace-loop-watch", daemon=True)
            self._thread.start()

    def begin(self, blocked: Callable[[float], None]) -> None:
        """A loop runs from now on."""
        self._blocked = blocked
        self.tick()
        self._on.set()

    def end(self) -> None:
        """It runs no more."""
        self._on.clear()
        self._blocked = None

    def tick(self) -> None:
        """The loop is there."""
        self._ticked_at = time.monotonic()

    def _run(self) -> None:
        while True:
            self._on.wait()
            time.sleep(_LOOK)
            ticked, blocked = self._ticked_at, self._blocked
            late = time.monotonic() - ticked
            if blocked is not None and late > BLOCKED and ticked != self._told_of:
                self._told_of = ticked
                blocked(late)
