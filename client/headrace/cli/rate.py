"""How fast a job goes, from its progress as it comes in."""

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from headrace.info import Progress

_WINDOW = 10.0
"""Seconds that the rate looks back."""
_LEAST = 0.2
"""Seconds before a rate means something."""


class Rate:
    """The ticks per second over the last seconds.

    It starts anew with each attempt, and when progress goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def restart(self) -> None:
        """Forget the ticks so far: another attempt begins.

        It may begin where the last one had come to.
        """
        self._samples.clear()

    def add(self, progress: Progress) -> None:
        """Take progress in."""
        now = self._clock()
        if self._samples and progress.done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, progress.done))
        while len(self._samples) > 2 and now - self._samples[1][0] > _WINDOW:  # noqa: PLR2004 - a rate needs two
            self._samples.popleft()

    @property
    def per_second(self) -> float | None:
        """Ticks in a second; None while unknown."""
        if not self._samples:
            return None
        (first_time, first), (last_time, last) = self._samples[0], self._samples[-1]
        if last_time - first_time < _LEAST:
            return None
        return (last - first) / (last_time - first_time)

    def time_left(self, progress: Progress) -> timedelta | None:
        """How long the rest takes at this rate; None while unknown."""
        rate = self.per_second
        if not rate or progress.total is None:
            return None
        try:
            return timedelta(seconds=max(progress.total - progress.done, 0) / rate)
        except OverflowError:  # longer than can be counted
            return None
