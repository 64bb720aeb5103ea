"""How long jobs are kept once they have ended, and how many are deleted at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from headrace_server.domain.job import Job, Status
from headrace_server.domain.requests import may_delete

REQUEST_MEMORY: Final = 24 * 3600 * 1_000_000
"""How long a request_id is remembered at least, counted from its submit, in microseconds."""
PORTION_JOBS: Final = 100
PORTION_EVENTS: Final = 2500
"""The number of events that one transaction deletes at most.

The bound keeps others from waiting long for the transaction. A single job may have more events.
"""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a job is kept after its end, by its status, in microseconds. None: for ever."""

    succeeded: int | None
    failed: int | None
    aborted: int | None

    def bounds(self, now: int) -> Iterator[tuple[Status, int]]:
        """Each status of which jobs go, and the end_time that they are older than."""
        kept = (
            (Status.SUCCEEDED, self.succeeded),
            (Status.FAILED, self.failed),
            (Status.ABORTED, self.aborted),
        )
        for status, length in kept:
            if length is not None:
                yield status, now - length


def portion(jobs: Iterable[Job]) -> list[Job]:
    """The first of these jobs that may be deleted, as many as one transaction takes."""
    taken: list[Job] = []
    events = 0
    for job in jobs:
        if may_delete(job):
            events += job.revision
            if taken and (events > PORTION_EVENTS or len(taken) == PORTION_JOBS):
                break
            taken.append(job)
    return taken
