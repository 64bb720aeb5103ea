"""Log why calls are answered UNAVAILABLE, so that the cause of a caller's error is found there.

Each cause is a line at once, and then one line in a while that counts: an outage meets every call.
"""

import logging
import time
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

SECONDS: Final = 10.0
CAUSES_MAX: Final = 100
"""Texts may differ in a number: what is remembered of them is bounded."""


@dataclass(slots=True)
class _Told:
    at: float
    calls: int = 0


class Outage:
    """The causes that were told."""

    def __init__(self) -> None:
        self._causes: dict[str, _Told] = {}

    def tell(self, cause: str) -> None:
        """A call was answered UNAVAILABLE with this sentence."""
        now = time.monotonic()
        told = self._causes.get(cause)
        if told is None:
            if len(self._causes) >= CAUSES_MAX:
                self._causes.clear()
            self._causes[cause] = _Told(now)
            log.warning("calls are answered UNAVAILABLE: %s", cause)
            return
        told.calls += 1
        if now - told.at >= SECONDS:
            log.warning("calls are answered UNAVAILABLE, %d more: %s", told.calls, cause)
            told.at, told.calls = now, 0
