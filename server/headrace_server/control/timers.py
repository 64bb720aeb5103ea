"""Have the store act on what becomes due by the clock.

run_after, next_attempt_time and expire_time are rows of the store.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from headrace_server.control.background import Background
from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.expiry import expires
from headrace_server.domain.job import Job
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.ports.timers import TimerStore

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds: the safety net, the most between two looks."""


class Timers(Background, CommitListener):
    """Has the store act on what is due, at its time."""

    def __init__(self, store: TimerStore) -> None:
        self._store = store
        self._next: int | None = None
        self._sooner = asyncio.Event()
        self._outage = Outage(log, "cannot run timers", "timers run again")

    def committed(self, changes: Sequence[Change]) -> None:
        """The times of a job may come before the one that is waited for."""
        for change in changes:
            self._look_at(change.job)

    def _look_at(self, job: Job) -> None:
        if job.due_time is not None:
            self._note(job.due_time)
        if job.expire_time is not None and expires(job):
            self._note(job.expire_time)

    def _note(self, at: int) -> None:
        if self._next is None or at < self._next:
            self._next = at
            self._sooner.set()

    async def _run(self) -> None:
        while True:
            self._sooner.clear()
            try:
                self._next = await self._store.run_timers()
                self._outage.over()
            except StoreUnavailable as error:
                self._outage.met(error)
                self._next = None  # What is due stays so: without a pause this would go round at once.
            except Exception:
                # A defect at one job must not keep every other waiting.
                log.exception("timers failed, trying again")
                self._next = None
            pause = POLL
            if self._next is not None:
                pause = min(pause, max(0.0, self._next / 1e6 - time.time()))
            try:
                async with asyncio.timeout(pause):
                    await self._sooner.wait()
            except TimeoutError:
                pass
