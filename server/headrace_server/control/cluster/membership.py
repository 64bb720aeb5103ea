"""The lives of an instance, and what it does about the deaths of the others.

All of them serve one database.

    begin ──> alive ──── the lease is lost ────> evict every run ──> begin, with another id ──> …
                │
                └── others have died, or it is time to look again: take over what they have left

domain.lease says when a lease is lost. A new life has a new id, so whatever the old one still has
on its way is known to be of the dead.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import ErrorKind, JobError
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.cluster import ClusterStore, Instance, LifeListener

log = logging.getLogger(__name__)

PAUSE: Final = 0.5
"""Seconds before a database that is away is asked again."""
LOCKED: Final = 1.0
"""The seconds after which no lock of a dead instance is left.

The instance that declares it dead ends its connections.
"""


class Runs(Protocol):
    """The runs of this instance."""

    async def evict(self) -> None:
        """Let nothing begin, and end what runs; return when no code of a job runs here."""
        ...

    def resume(self) -> None:
        """Let runs begin again."""
        ...


class Membership(LifeListener):
    """Of one instance. Used on the event loop's thread only."""

    def __init__(
        self,
        store: ClusterStore,
        runs: Runs,
        *,
        name: str,
        lease: float | None,
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Prepare the membership of an instance.

        `name` is what each id begins with. `lease` is in seconds, or None where no other instance
        can serve the database.
        """
        self._store = store
        self._runs = runs
        self._name = name
        self._lease = lease
        self._tell = about
        self._tasks: set[asyncio.Task[None]] = set()
        self._outage = Outage(
            log, "cannot join those that serve this database, trying again", "it has joined"
        )
        self._untaken = Outage(
            log, "cannot take over what the dead have left, trying again", "it is taken over"
        )

    def about(self) -> Mapping[str, Any]:
        """Return what this instance reports of itself."""
        return self._tell()

    async def begin(self) -> None:
        """A new life, however long the database is away."""
        while True:
            me = Instance(f"{self._name}-{secrets.token_hex(3)}", time.time_ns() // 1000, self.about())
            try:
                await self._store.join(me, lease=self._lease, life=self)
            except StoreUnavailable as error:
                self._outage.met(error)
                await asyncio.sleep(PAUSE)
            else:
                self._outage.over()
                return

    def lost(self) -> None:
        """The lease is lost: others may take over what runs here."""
        self._spawn(self._live_again())

    def others_died(self) -> None:
        """Others may have left something behind."""
        self._spawn(self._take_over_twice())

    async def _take_over_twice(self) -> None:
        """Take over now, and again a moment later.

        The first pass leaves out what the dead instance's last transaction had locked, which is
        free in a moment.
        """
        await self.take_over()
        await asyncio.sleep(LOCKED)
        await self.take_over()

    async def take_over(self) -> None:
        """Settle what those have left that are not alive."""
        if self._lease is None:
            # It has the lock: no process of an earlier life is left. Of another machine's nobody
            # can say so.
            lost, confirmed = "The server ended while the job ran.", True
        else:
            lost, confirmed = "The instance that ran the job has died.", False
        try:
            error = JobError(ErrorKind.INSTANCE_LOST, lost)
            count = await self._store.recover(error, confirmed=confirmed)
            self._untaken.over()
        except StoreUnavailable as trouble:
            self._untaken.met(trouble)
            return
        except Exception:
            # What cannot be settled keeps no server from starting, and no instance from living on.
            log.exception("what the dead have left was not taken over")
            return
        if count:
            log.warning("%d jobs were under way where an instance has died", count)
        await self._finish_batches()

    async def _finish_batches(self) -> None:
        try:
            count = await self._store.finish_batches()
        except StoreUnavailable as trouble:
            self._untaken.met(trouble)
        except Exception:
            log.exception("batches that are not whole were not completed")
        else:
            if count:
                log.warning("%d batches were under way where an instance has died", count)

    async def close(self) -> None:
        """Leave off."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live_again(self) -> None:
        dead = self._store.instance
        log.error(
            "the lease of this instance is lost: its runs are ended, and others take them over",
            extra={"instance": dead},
        )
        await self._until_done(self._runs.evict)
        await self._until_done(self.begin)
        log.warning("this instance is alive again, as another", extra={"instance": self._store.instance})
        self._runs.resume()

    async def _until_done(self, step: Callable[[], Coroutine[None, None, None]]) -> None:
        """Repeat a step until it is done.

        A defect in one step must not be the end of this instance, which would neither run jobs nor
        say so.
        """
        while True:
            try:
                return await step()
            except Exception:
                log.exception("a lost lease was not dealt with, trying again")
                await asyncio.sleep(PAUSE)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
