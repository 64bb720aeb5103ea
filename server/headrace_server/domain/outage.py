"""A trouble that lasts is in the log with its cause, and does not fill it.

An outage of the database meets every call, every run and every loop, again and again.

    met "disk full"    met    met   …   met          over
    │                  │      │         │            │
    warning: cause     (counted)        warning:     info: what goes on again
                                        n more       (only after a warning)
    └──── one line for a cause in `seconds` ────┘
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SECONDS: Final = 60.0
CAUSES_MAX: Final = 100
"""Texts may differ in a number: what is remembered of them is bounded."""


@dataclass(slots=True)
class _Told:
    at: float
    more: int = 0


class Outage:
    """Logs one kind of trouble. Threads may share it: at worst something is told twice."""

    def __init__(
        self,
        log: logging.Logger,
        what: str,
        over: str = "",
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`what` begins the warnings; `over` is the line for the end.

        A cause is a line at once, and then one in so many seconds, with the number of the others.
        """
        self._log = log
        self._what = what
        self._over = over
        self._seconds = seconds
        self._clock = clock
        self._causes: dict[str, _Told] = {}
        self._open = False

    def met(self, cause: object, **about: object) -> None:
        """It was met again, with this cause; `about` are fields of the line."""
        text, now = str(cause), self._clock()
        told = self._causes.get(text)
        if told is not None and now - told.at < self._seconds:
            told.more += 1
            return
        if told is None or not told.more:
            if len(self._causes) >= CAUSES_MAX:
                self._causes.clear()
            self._log.warning("%s: %s", self._what, text, extra=about)
        else:
            self._log.warning("%s, %d more: %s", self._what, told.more, text, extra=about)
        self._causes[text] = _Told(now)
        self._open = True

    def over(self) -> None:
        """It is not met now. It is cheap to say so again and again."""
        if self._open:
            self._open = False
            self._log.info("%s", self._over)
