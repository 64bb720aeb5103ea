"""Warns a job that waits for another job which is QUEUED for long.

A job that waits keeps its own worker from the other job, and on the last worker it would wait for
ever.

The line goes to the log of the job that waits, once for each that it waits for. Outside of a worker
nothing is said.
"""

import logging
import os
import time

from headrace._flows.retry import Clock
from headrace._models.enums import JobStatus

WORKER_VARIABLE = "HEADRACE_WORKER"
"""Set in the workers of a server."""
PATIENCE = 5.0
"""Seconds that a job may be QUEUED before that is worth a line."""

log = logging.getLogger("headrace")


class Blocked:
    """Looks at the status of the job that is waited for."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.inside = WORKER_VARIABLE in os.environ
        """Whether this process is a worker, so that the waiting caller is itself a job."""
        self._clock = clock
        self._queued_since: float | None = clock()
        self._said = False

    def saw(self, job_id: str, status: str) -> None:
        """Take in how the job stands."""
        if not self.inside or self._said:
            return
        if status != JobStatus.QUEUED:
            self._queued_since = None
            return
        now = self._clock()
        self._queued_since = now if self._queued_since is None else self._queued_since
        waited = now - self._queued_since
        if waited >= PATIENCE:
            self._said = True
            log.warning(
                "This job waits for job %s, which has been QUEUED for %.0f s. While it waits it keeps its own worker: if that is "
                "the last one, neither of them goes on. Start the server with more --workers, or have no job wait for a job.",
                job_id,
                waited,
            )
