"""Work that goes on in the background for as long as its owner is open."""

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Final

log = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds until it begins again after a defect."""


class Background(ABC):
    """One background task, from start to close.

    A defect in it is logged and the task begins again, so that what it looks after is not left
    alone.
    """

    _task: asyncio.Task[None] | None = None

    @abstractmethod
    async def _run(self) -> None:
        """Do the task's work until it is cancelled."""

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._keep_on())

    async def close(self) -> None:
        """Leave off; what is under way on a thread is done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_on(self) -> None:
        while True:
            try:
                await self._run()
            except Exception:
                log.exception("%s failed, and begins again", type(self).__name__)
            await asyncio.sleep(PAUSE)
