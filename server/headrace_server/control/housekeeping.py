"""Housekeeping: what has ended long enough ago is deleted, a little at a time.

Every instance looks once in a period; that one of them at a time sweeps is the store's (see
store.write.retention). Between two steps it rests as long as the step has taken: whoever submits or
claims has half of the store to himself at least.
"""

import asyncio
import logging
from typing import Final

from headrace_server.control.background import Background
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.ports.retention import RetentionStore
from headrace_server.domain.retention import Retention

log = logging.getLogger(__name__)

LEAST_REST: Final = 0.01


class Housekeeping(Background):
    """Sweeps at its start and then once in `period` seconds, until it is closed."""

    def __init__(self, store: RetentionStore, retention: Retention, period: float) -> None:
        self._store = store
        self._retention = retention
        self._period = period
        self._turn: int | None = None
        self._deleted = 0

    @property
    def deleted(self) -> int:
        """How many jobs have gone since the start."""
        return self._deleted

    async def _run(self) -> None:
        while True:
            before = self._deleted
            try:
                while await self._step():
                    pass
            except StoreUnavailable as error:
                log.warning("old jobs cannot be deleted now, trying again later: %s", error)
            except Exception:
                log.exception("old jobs were not deleted, trying again later")
            if self._deleted > before:
                log.info("jobs deleted, since their retention is over: %d", self._deleted - before)
            await asyncio.sleep(self._period)

    async def _step(self) -> bool:
        """Delete a few; whether there are more."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        swept = await self._store.sweep(self._retention, self._turn)
        self._turn = swept.turn
        self._deleted += swept.jobs
        if swept.more:
            await asyncio.sleep(max(LEAST_REST, loop.time() - began))
        return swept.more
