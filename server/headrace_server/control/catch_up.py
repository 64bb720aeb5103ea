"""The net under the tail, where several instances share a database.

What other instances commit is told by the tail as soon as it is there. Should anything have been missed, it is found
here: once a second the rows of the jobs that somebody cares for are asked whether they are further than is known. A
job may also be gone: it ended elsewhere and was deleted before the tail could read how. Progress is
found in no other way: it is on the row and not in the log, so that of a job on another instance is a second old at
most.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import Job
from headrace_server.domain.ports import Store

log = logging.getLogger(__name__)

PERIOD: Final = 1.0


class Follower(Protocol):
    """Who knows jobs by revision, and takes a later row of one."""

    def known(self) -> Mapping[str, int]:
        """The jobs cared for, with the revisions that are known."""
        ...

    def catch_up(self, job: Job) -> None:
        """This is how a job stands by now."""
        ...

    def gone(self, job_id: str) -> None:
        """A job was deleted."""
        ...


async def keep_up(store: Store, followers: Sequence[Follower]) -> None:
    """Ask once a second, for as long as the instance lives."""
    while True:
        await asyncio.sleep(PERIOD)
        known: dict[str, int] = {}
        for follower in followers:
            for job_id, revision in follower.known().items():
                known[job_id] = min(revision, known.get(job_id, revision))
        if not known:
            continue
        try:
            newer, gone = await store.newer(known)
            for follower in followers:
                for job in newer:
                    follower.catch_up(job)
                for job_id in gone:
                    follower.gone(job_id)
        except StoreUnavailable as error:
            log.warning("cannot see what other instances have done: %s", error)
        except Exception:
            log.exception("what other instances have done was not taken over, trying again")
