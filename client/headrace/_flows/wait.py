"""Waiting for the end of a job: repeated WaitJob calls that survive lost connections.

This module does no input or output.
"""

import time

from headrace._flows.blocked import PATIENCE, Blocked
from headrace._flows.retry import Clock, Deadline, Reconnect
from headrace._requests import requests
from headrace._requests.requests import Call
from headrace.errors import DeadlineExceeded, HeadraceError
from headrace.info import JobInfo


class Wait:
    """One job being waited for. timeout and patience are as in Watch; a timeout of 0 asks once."""

    def __init__(
        self,
        tenant: str,
        job_id: str,
        *,
        timeout: float | None,
        patience: float | None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._tenant = tenant
        self._job_id = job_id
        self._timeout = timeout
        self._deadline = Deadline(timeout, clock)
        self._blocked = Blocked(clock)
        self._reconnect = Reconnect(self._deadline, patience, clock=clock)

    def request(self) -> Call[JobInfo]:
        """The next call."""
        remaining = self._deadline.remaining()
        if self._blocked.inside:  # a look now and then, in case neither job can go on
            remaining = PATIENCE if remaining is None else min(remaining, PATIENCE)
        return requests.wait(self._tenant, self._job_id, remaining)

    def answered(self, job: JobInfo) -> bool:
        """Returns whether the job has ended.

        Raises DeadlineExceeded when it has not and the time is over.
        """
        self._reconnect.heard()
        self._blocked.saw(self._job_id, job.status)
        if not job.final and self._deadline.remaining() == 0:
            raise DeadlineExceeded.of_job(self._job_id, job.status, self._timeout or 0.0)
        return job.final

    def failed(self, error: HeadraceError, *, known: bool) -> float:
        """Returns the delay before the next call, in seconds.

        Raises the error when it is final. known: as in Watch.
        """
        return self._reconnect.failed(error, known=known)
