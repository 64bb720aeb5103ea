"""Count what waits in the outbox for GetServerInfo, and log it when an operator should know."""

import logging
import time
from collections.abc import Mapping
from typing import Final

from headrace_server.domain.broadcast import Backlog
from headrace_server.domain.ports.outbox import Outbox

log = logging.getLogger(__name__)

LOOK_PERIOD: Final = 2.0
"""Seconds that a count is good for."""
REPORT_PERIOD: Final = 60.0
"""Seconds between two lines in the log that say the same."""


class BacklogWatch:
    """Of one instance. Used on the event loop's thread only."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._found = Backlog(0, 0, at_least=False, oldest=None)
        self._looked = float("-inf")
        self._reported = float("-inf")

    async def look(self) -> None:
        """Count, unless that was done a moment ago. Raises StoreUnavailable."""
        if time.monotonic() >= self._looked + LOOK_PERIOD:
            self._found = await self._outbox.backlog()
            self._looked = time.monotonic()

    def gauges(self) -> Mapping[str, int]:
        """Return the last counts as gauges."""
        oldest = self._found.oldest
        return {
            "events_pending": self._found.pending,
            "events_unroutable": self._found.parked,
            "events_oldest_seconds": 0 if oldest is None else max(0, int(time.time() - oldest / 1e6)),
        }

    def report(self, *, up: bool) -> None:
        """Say what waits, if it waits for a queue, or for the broker that is not there."""
        found, now = self._found, time.monotonic()
        if now < self._reported + REPORT_PERIOD or not (found.parked or (found.pending and not up)):
            return
        self._reported = now
        more = " or more" if found.at_least else ""
        if found.parked:
            log.warning(
                "no queue wants %d%s events: they are kept, and hold up what follows of their jobs, until a queue is bound "
                "for them or events_unroutable is drop",
                found.parked,
                more,
            )
        if found.pending and not up:
            log.warning("%d%s events wait for the broker", found.pending, more)
