"""The net under the tail, where several instances share a database.

What other instances commit is told by the tail as soon as it is there. Should anything have been
missed, it is found here: once a second the rows of the jobs that somebody cares for are asked
whether they are further than is known. A job may also be gone: it ended elsewhere and was deleted
before the tail could read how. Progress is found in no other way: it is on the row and not in the
log, so that of a job on another instance is a second old at most.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from headrace_server.control.background import Background
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.for_each import singly
from headrace_server.domain.job import Job
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.jobs import JobReader

log = logging.getLogger(__name__)

PERIOD: Final = 1.0


class Follower(Protocol):
    """A follower of jobs that knows them by revision, and takes a later row of one."""

    def known(self) -> Mapping[str, int]:
        """The jobs cared for, with the revisions that are known."""
        ...

    def catch_up(self, job: Job) -> None:
        """This is how a job stands by now."""
        ...

    def gone(self, job_id: str) -> None:
        """A job was deleted."""
        ...


class Reconciler(Background):
    """The task that gives followers the rows that are further than they know.

    It looks once a second, and at once when asked to.
    """

    def __init__(self, store: JobReader) -> None:
        self._store = store
        self.followers: list[Follower] = []
        self._outage = Outage(
            log,
            "cannot see what other instances have done, trying again",
            "what other instances have done is seen again",
        )
        self._looks: set[asyncio.Task[None]] = set()

    def look(self, job_ids: Collection[str]) -> None:
        """Look now at these of the jobs that are cared for."""
        look = asyncio.create_task(self._look(job_ids))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def close(self) -> None:
        """Leave off."""
        await super().close()
        for look in list(self._looks):
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            await self._look(None)

    async def _look(self, job_ids: Collection[str] | None) -> None:
        """Of these jobs, or of all."""
        known: dict[str, int] = {}
        for follower in self.followers:
            for job_id, revision in follower.known().items():
                if job_ids is None or job_id in job_ids:
                    known[job_id] = min(revision, known.get(job_id, revision))
        if not known:
            return
        try:
            newer, gone = await self._store.newer(known)
            self._outage.over()
            for follower in self.followers:
                singly(newer, follower.catch_up, log=log, failed="how a job stands was not taken over")
                for job_id in gone:
                    follower.gone(job_id)
        except StoreUnavailable as error:
            self._outage.met(error)
        except Exception:
            log.exception("what other instances have done was not taken over, trying again")
