"""Collect at the end of a run what it leaves to the garbage collector.

The finalizers of what it leaves are the run's own code.

They would else be called in the middle of a later run, and what they print would be that run's
output. What was there when the modules were loaded is not looked at again (`gc.freeze`), so a walk
costs what the runs have left. What a short run leaves is young, and found by a walk over that; the
rest is walked over where that takes no more than a twentieth of the time that the run took, which
is so as long as jobs do not keep some hundred thousand objects.
"""

import gc
import time

_YOUNG = 1
_SHARE = 20
_FORGOTTEN = 0.95
"""The share of a measurement that stays after each run that does not repeat it.

The jobs may have ceased to keep objects.
"""


class Garbage:
    """Of one worker, whose modules are loaded."""

    def __init__(self) -> None:
        gc.freeze()
        self._seconds = 0.001
        """How long the last walk over everything took."""

    def collect(self, seconds: float) -> None:
        """A run has ended that took so long."""
        if seconds < self._seconds * _SHARE:
            self._seconds *= _FORGOTTEN
            gc.collect(_YOUNG)
            return
        found, took = _walk()
        if found and seconds < took * _SHARE:  # finalizers may have taken the time
            _, took = _walk()
        self._seconds = took


def _walk() -> tuple[int, float]:
    """Collect everything. Answers how many things were found, and the seconds of this processor."""
    began = time.thread_time()
    found = gc.collect()
    return found, time.thread_time() - began
