"""A job in the hands of a caller: what submit answers."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Unpack

from headrace._methods.aio_job_methods import AsyncJobVerbs
from headrace._methods.job_methods import JobVerbs
from headrace.errors import raise_unless_succeeded
from headrace.info import JobEvent, JobInfo, StopResult, Update
from headrace.options import JobChanges, Span


class _Held:
    """What both kinds of handle know of their job."""

    def __init__(self, job_id: str, tenant: str, info: JobInfo | None, *, existing: bool) -> None:
        self.job_id = job_id
        self.tenant = tenant
        """The tenant as the caller gave it; empty means the server's default."""
        self.info = info
        """The job as it stood when this handle was last answered; None when it never was."""
        self.existing = existing
        """True when an earlier submit with the same request_id had made the job."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r})"

    def _seen(self, job: JobInfo) -> JobInfo:
        self.info = job
        return job


class JobHandle(_Held):
    """One job of a Client. Its verbs are the client's, for this job."""

    def __init__(
        self,
        verbs: JobVerbs,
        job_id: str,
        *,
        tenant: str,
        info: JobInfo | None = None,
        existing: bool = False,
    ) -> None:
        super().__init__(job_id, tenant, info, existing=existing)
        self._verbs = verbs

    def refresh(self) -> JobInfo:
        """The job as it stands."""
        return self._seen(self._verbs.get(self.job_id, tenant=self.tenant))

    def result(self, timeout: Span | None = None) -> Any:
        """What the job returned, once it has ended.

        Raises JobFailed or JobAborted when it ended otherwise, and DeadlineExceeded when it has not within timeout.
        """
        job = self.wait(timeout)
        raise_unless_succeeded(job)
        return job.result

    def wait(self, timeout: Span | None = None) -> JobInfo:
        """The job when it has ended, however it ended. Raises DeadlineExceeded when it has not within timeout."""
        return self._seen(self._verbs.wait(self.job_id, timeout, tenant=self.tenant))

    def watch(
        self,
        *,
        after_revision: int | None = None,
        include_messages: bool = False,
        min_progress_interval: Span | None = None,
        timeout: Span | None = None,
    ) -> Generator[Update, None, None]:
        """Follows the job until it ends; the details are those of Client.watch."""
        return self._verbs.watch(
            self.job_id,
            tenant=self.tenant,
            after_revision=after_revision,
            include_messages=include_messages,
            min_progress_interval=min_progress_interval,
            timeout=timeout,
        )

    def stop(
        self,
        reason: str = "",
        *,
        grace_period: Span | None = None,
        wait_timeout: Span | None = None,
        requested_by: str = "",
    ) -> StopResult:
        """Stops the job; the details are those of Client.stop."""
        result = self._verbs.stop(
            self.job_id,
            reason,
            tenant=self.tenant,
            grace_period=grace_period,
            wait_timeout=wait_timeout,
            requested_by=requested_by,
        )
        self._seen(result.job)
        return result

    def release(self) -> JobInfo:
        """Releases the job if it is held. WrongStatus when it has ended."""
        return self._seen(self._verbs.release(self.job_id, tenant=self.tenant))

    def update(self, *, etag: str = "", **changes: Unpack[JobChanges]) -> JobInfo:
        """Changes the fields that are given; the details are those of Client.update."""
        return self._seen(self._verbs.update(self.job_id, tenant=self.tenant, etag=etag, **changes))

    def delete(self) -> None:
        """Deletes the job, which must have ended, with its history."""
        self._verbs.delete(self.job_id, tenant=self.tenant)

    def events(self, *, after_revision: int = 0) -> Iterator[JobEvent]:
        """The job's history so far, oldest first."""
        return self._verbs.events(self.job_id, tenant=self.tenant, after_revision=after_revision)


class AsyncJobHandle(_Held):
    """One job of an AsyncClient. Its verbs are the client's, for this job, and those of JobHandle."""

    def __init__(
        self,
        verbs: AsyncJobVerbs,
        job_id: str,
        *,
        tenant: str,
        info: JobInfo | None = None,
        existing: bool = False,
    ) -> None:
        super().__init__(job_id, tenant, info, existing=existing)
        self._verbs = verbs

    async def refresh(self) -> JobInfo:
        """The job as it stands."""
        return self._seen(await self._verbs.get(self.job_id, tenant=self.tenant))

    async def result(self, timeout: Span | None = None) -> Any:  # noqa: ASYNC109 - the same verbs as JobHandle
        """What the job returned, once it has ended.

        Raises JobFailed or JobAborted when it ended otherwise, and DeadlineExceeded when it has not within timeout.
        """
        job = await self.wait(timeout)
        raise_unless_succeeded(job)
        return job.result

    async def wait(self, timeout: Span | None = None) -> JobInfo:  # noqa: ASYNC109 - the same verbs as JobHandle
        """The job when it has ended, however it ended. Raises DeadlineExceeded when it has not within timeout."""
        return self._seen(await self._verbs.wait(self.job_id, timeout, tenant=self.tenant))

    def watch(
        self,
        *,
        after_revision: int | None = None,
        include_messages: bool = False,
        min_progress_interval: Span | None = None,
        timeout: Span | None = None,
    ) -> AsyncGenerator[Update, None]:
        """Follows the job until it ends; the details are those of Client.watch."""
        return self._verbs.watch(
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
        result = await self._verbs.stop(
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
        return self._seen(await self._verbs.release(self.job_id, tenant=self.tenant))

    async def update(self, *, etag: str = "", **changes: Unpack[JobChanges]) -> JobInfo:
        """Changes the fields that are given; the details are those of Client.update."""
        return self._seen(await self._verbs.update(self.job_id, tenant=self.tenant, etag=etag, **changes))

    async def delete(self) -> None:
        """Deletes the job, which must have ended, with its history."""
        await self._verbs.delete(self.job_id, tenant=self.tenant)

    def events(self, *, after_revision: int = 0) -> AsyncIterator[JobEvent]:
        """The job's history so far, oldest first."""
        return self._verbs.events(self.job_id, tenant=self.tenant, after_revision=after_revision)
