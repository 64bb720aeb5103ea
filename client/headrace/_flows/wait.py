"""Waiting for the end of a job: repeated WaitJob calls that survive lost connections.

A job that is still to be submitted is waited for by SubmitJob with a wait_timeout. Until that has
answered, the same request is sent again, which its request_id makes harmless; after that the job is
known, and WaitJob goes on where it has not ended.

This module does no input or output.
"""

import time

from headrace._flows.blocked import PATIENCE, Blocked
from headrace._flows.retry import Clock, Deadline, Reconnect
from headrace._requests import requests
from headrace._requests.requests import Call
from headrace.errors import DeadlineExceeded, HeadraceError
from headrace.info import JobInfo
from headrace.v1 import job_service_pb2

ANSWER_TIME = 1.0
"""Seconds for an answer to come back, beyond the time that a submit was to wait."""


class Wait:
    """One job being waited for. timeout and patience are as in Watch; a timeout of 0 asks once.

    submit: the request that makes it, in place of a job_id. The timeout bounds all of it then, as
    it does in Watch.
    """

    def __init__(
        self,
        tenant: str,
        job_id: str = "",
        *,
        submit: job_service_pb2.SubmitJobRequest | None = None,
        timeout: float | None,
        patience: float | None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._tenant = tenant
        self.job_id = job_id
        """The job, as soon as it is known."""
        self.finished = False
        """True when the job has ended and the caller was told."""
        self._submit = submit
        self._timeout = timeout
        self._deadline = Deadline(timeout, clock)
        self._blocked = Blocked(clock)
        self._reconnect = Reconnect(self._deadline, patience, clock=clock)

    def request(self) -> Call[JobInfo]:
        """The next call."""
        remaining = self._deadline.remaining()
        if self._blocked.inside:  # a look now and then, in case neither job can go on
            remaining = PATIENCE if remaining is None else min(remaining, PATIENCE)
        if self._submit is not None and not self.job_id:
            return requests.submit_and_wait(self._submit, remaining)
        return requests.wait(self._tenant, self.job_id, remaining)

    def allowed(self, call: Call[JobInfo], besides: float) -> float:
        """The deadline of a call, in seconds from now.

        besides: for an answer, beyond what the server was asked to wait.
        """
        whole = besides + call.server_wait
        remaining = self._deadline.remaining()
        if self._submit is None or remaining is None:
            return whole
        return min(whole, remaining + ANSWER_TIME)

    def answered(self, job: JobInfo) -> bool:
        """Returns whether the job has ended.

        Raises DeadlineExceeded when it has not and the time is over.
        """
        self._reconnect.heard()
        self.job_id = job.job_id
        self.finished = job.final
        self._blocked.saw(self.job_id, job.status)
        if not job.final and self._deadline.remaining() == 0:
            raise DeadlineExceeded.of_job(self.job_id, job.status, self._timeout or 0.0)
        return job.final

    def failed(self, error: HeadraceError, *, known: bool) -> float:
        """Returns the delay before the next call, in seconds.

        Raises the error when it is final. known: as in Watch.
        """
        return self._reconnect.failed(error, known=known)
