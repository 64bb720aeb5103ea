"""A job in the hands of a caller: what submit answers."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from headrace._methods.aio.job_methods import AsyncJobMethods
from headrace._methods.held import Held
from headrace.errors import raise_unless_succeeded
from headrace.info import JobEvent, JobInfo, StopResult, Update
from headrace.options import JobChanges, Span


class AsyncJobHandle(Held):
    """One job of an AsyncClient. Its methods are the client's, for this job."""

    def __init__(
        self,
        methods: AsyncJobMethods,
        job_id: str,
        *,
        tenant: str,
        info: JobInfo | None = None,
        existing: bool = False,
    ) -> None:
        super().__init__(job_id, tenant, info, existing=existing)
        self._methods = methods

    async def refresh(self) -> JobInfo:
        """The job as it stands."""
        return self._seen(await self._methods.get(self.job_id, tenant=self.tenant))

    async def result(self, timeout: Span | None = None) -> Any:
        """Waits until the job has ended, and returns the value that the job returned.

        Raises JobFailed or JobAborted when it ended otherwise, and DeadlineExceeded when it has not
        within timeout.
        """
        job = await self.wait(timeout)
        raise_unless_succeeded(job)
        return job.result

    async def wait(self, timeout: Span | None = None) -> JobInfo:
        """Waits until the job has ended, however it ended, and returns the job.

        Raises DeadlineExceeded when it has not ended within timeout.
        """
        return self._seen(await self._methods.wait(self.job_id, timeout, tenant=self.tenant))

    def watch(
        self,
        *,
        after_revision: int | None = None,
        include_messages: bool = False,
        min_progress_interval: Span | None = None,
        timeout: Span | None = None,
    ) -> AsyncGenerator[Update, None]:
        """Follows the job until it ends; the details are those of Client.watch."""
        return self._methods.watch(
            self.job_id,
            tenant=self.tenant,
            after_revision=after_revision,
            include_messages=include_messages,
            min_progress_interval=min_progress_interval,
            timeout=timeout,
        )

    async def stop(
        self,
        reason: str = "",
        *,
        grace_period: Span | None = None,
        wait_timeout: Span | None = None,
        requested_by: str = "",
    ) -> StopResult:
        """Stops the job; the details are those of Client.stop."""
        result = await self._methods.stop(
            self.job_id,
            reason,
            tenant=self.tenant,
            grace_period=grace_period,
            wait_timeout=wait_timeout,
            requested_by=requested_by,
        )
        self._seen(result.job)
        return result

    async def release(self) -> JobInfo:
        """Releases the job if it is held. WrongStatus when it has ended."""
        return self._seen(await self._methods.release(self.job_id, tenant=self.tenant))

    async def update(self, *, etag: str = "", **changes: Unpack[JobChanges]) -> JobInfo:
        """Changes the fields that are given; the details are those of Client.update."""
        return self._seen(await self._methods.update(self.job_id, tenant=self.tenant, etag=etag, **changes))

    async def delete(self) -> None:
        """Deletes the job, which must have ended, with its history."""
        await self._methods.delete(self.job_id, tenant=self.tenant)

    def events(self, *, after_revision: int = 0) -> AsyncIterator[JobEvent]:
        """The job's history so far, oldest first."""
        return self._methods.events(self.job_id, tenant=self.tenant, after_revision=after_revision)


@dataclass(frozen=True, slots=True)
class AsyncBatch:
    """Jobs that were submitted together; list, count and stop_jobs find them by batch_ids."""

    batch_id: str
    jobs: Sequence[AsyncJobHandle]
    """In the order in which they were given."""
    existing: bool
    """True when an earlier submit with the same request_id had made the batch."""
