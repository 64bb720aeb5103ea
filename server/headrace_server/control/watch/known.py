"""How a job stands, as the commits of this instance have told it.

    subscribe ──> submit ──> Change 1 … 3 ──> Change 4 ──> … ──> the last: the job as it ended
                  └──────────────── without a gap ───────────────────┘       nothing is read

Revisions have no gaps, and whatever changes a job's results is an event. So who is given the first
change of a job, and then each that follows the one before it, knows its row and its payload. Where
one was committed by another instance there is a gap: from then on the job is read, as any other.
"""

from typing import Final

from headrace_server.domain.change import Change
from headrace_server.domain.job import Job
from headrace_server.domain.query import FullJob, Payload

KEPT_BYTES: Final = 16 << 10
"""Most characters of parameters and results that are kept for a job that is watched.

A job with more of them is read.
"""


class Known:
    """What is known of one job. parameters: as in its submission."""

    def __init__(self, parameters: str) -> None:
        self._parameters = parameters
        self._job: Job | None = None
        self._results: dict[str, str] = {}
        self._lost = len(parameters) > KEPT_BYTES

    def learn(self, change: Change) -> None:
        """Take a committed change, in the order of the commits."""
        if self._lost:
            return
        reached = 0 if self._job is None else self._job.revision
        if change.job.revision - len(change.events) != reached:
            self._lose()
            return
        self._job = change.job
        if change.clear_results:
            self._results.clear()
        self._results |= change.results
        if len(self._parameters) + sum(map(len, self._results.values())) > KEPT_BYTES:
            self._lose()

    def _lose(self) -> None:
        self._lost = True
        self._job = None
        self._results.clear()

    def at(self, revision: int) -> FullJob | None:
        """Return the job at this revision, or None when that is not known."""
        if self._job is None or self._job.revision != revision:
            return None
        named = dict(self._results)
        return FullJob(self._job, Payload(self._parameters, named.pop("", None), named))
