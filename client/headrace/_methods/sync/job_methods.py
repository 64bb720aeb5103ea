# Made by `make sync` from ../aio/job_methods.py: change that.
"""The methods of a client that take the id of a job."""

from collections.abc import Generator, Iterator
from typing import Unpack

from headrace._flows.wait import Wait
from headrace._flows.watch import Request, Watch
from headrace._methods.sync.base import Methods
from headrace._models.enums import JobView
from headrace._requests import requests
from headrace._requests.spec import seconds
from headrace.info import JobEvent, JobInfo, StopResult, Update
from headrace.options import JobChanges, Span


class JobMethods(Methods):
    """The methods of Client that take the id of a job.

    Each raises JobNotFound if the tenant has no such job.

    The tenant is the client's own where it is left out. A length of time is a timedelta or a number
    of seconds.
    """

    def get(self, job_id: str, *, tenant: str | None = None, view: JobView | str = JobView.FULL) -> JobInfo:
        """The job as it stands. View BASIC leaves out parameters, results and tracebacks."""
        return self._calls.make(requests.get(self._tenant(tenant), job_id, view))

    def watch(
        self,
        job_id: str,
        *,
        tenant: str | None = None,
        after_revision: int | None = None,
        include_messages: bool = False,
        min_progress_interval: Span | None = None,
        timeout: Span | None = None,
    ) -> Generator[Update, None]:
        """Follows a job until it ends.

        Yields a Snapshot, then each JobEvent in order and the latest Progress, then Finished.

        Lost connections are resumed without a repetition or a gap. With after_revision there is no
        Snapshot: the events after it come first (0 is the beginning). With include_messages come
        LoggedMessage events too, and at most one Progress in min_progress_interval (100 ms when
        left out).

        Raises OutOfRange for a revision that the job has not reached, Unavailable when the server
        stays away, and DeadlineExceeded when the job has not ended within timeout. Leaving early is
        harmless to the job.
        """
        request = requests.watch(
            self._tenant(tenant),
            job_id,
            after_revision=after_revision,
            include_messages=include_messages,
            min_progress_interval=min_progress_interval,
        )
        return self._calls.follow(self._watch(request, timeout))

    def wait(self, job_id: str, timeout: Span | None = None, *, tenant: str | None = None) -> JobInfo:
        """Waits until the job has ended, however it ended, and returns the job.

        Raises DeadlineExceeded when it has not ended within timeout.

        A timeout of 0 asks once. A server that does not answer at all is given the client's own
        timeout besides.
        """
        wait = Wait(
            self._tenant(tenant),
            job_id,
            timeout=None if timeout is None else seconds("timeout", timeout),
            patience=self._calls.connection.reconnect_timeout,
        )
        return self._calls.wait(wait)

    def stop(
        self,
        job_id: str,
        reason: str = "",
        *,
        tenant: str | None = None,
        grace_period: Span | None = None,
        wait_timeout: Span | None = None,
        requested_by: str = "",
    ) -> StopResult:
        """Stops a job, whatever its status, and says what became of it. Asking twice is harmless.

        grace_period is the time until its processes are killed: 10 s when left out, 0 is now, at
        most 1 h. With wait_timeout (at most 60 s) the answer waits for the job to end. The job's
        code can read the reason.
        """
        call = requests.stop(
            self._tenant(tenant),
            job_id,
            reason=reason,
            grace_period=grace_period,
            wait_timeout=wait_timeout,
            requested_by=requested_by,
        )
        return self._calls.make(call)

    def release(self, job_id: str, *, tenant: str | None = None) -> JobInfo:
        """Releases a held job, so that it may be run.

        A job that was released before is returned as it stands, even if it has ended. Raises
        WrongStatus for one that has ended without being released.
        """
        return self._calls.make(requests.release(self._tenant(tenant), job_id))

    def update(
        self, job_id: str, *, tenant: str | None = None, etag: str = "", **changes: Unpack[JobChanges]
    ) -> JobInfo:
        """Changes the fields that are given, and answers the job as it then stands.

        With an etag: only if it is still the job's, else EtagMismatch. priority, run_after and
        expire_time only before the job has ended, else WrongStatus.
        """
        return self._calls.make(requests.update(self._tenant(tenant), job_id, etag, changes))

    def delete(self, job_id: str, *, tenant: str | None = None, allow_missing: bool = False) -> None:
        """Deletes a job that has ended, with its history.

        Raises WrongStatus when it has not ended, and JobLocked when it is locked.
        """
        self._calls.make(requests.delete(self._tenant(tenant), job_id, allow_missing=allow_missing))

    def events(
        self, job_id: str, *, tenant: str | None = None, after_revision: int = 0, page_size: int = 0
    ) -> Iterator[JobEvent]:
        """The job's history so far, oldest first, read page by page as it is asked for."""
        return self._pages(
            lambda token: requests.events_page(
                self._tenant(tenant),
                job_id,
                after_revision=after_revision,
                page_size=page_size,
                page_token=token,
            )
        )

    def _watch(self, request: Request, timeout: Span | None) -> Watch:
        return Watch(
            request,
            timeout=None if timeout is None else seconds("timeout", timeout),
            patience=self._calls.connection.reconnect_timeout,
        )
