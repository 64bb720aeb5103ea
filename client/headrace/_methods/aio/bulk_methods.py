"""What can be done with all jobs that match a filter, to be awaited."""

from typing import Unpack

from headrace._methods.aio_job_methods import AsyncJobVerbs
from headrace._requests import bulk
from headrace.info import PurgeCounts, StopCounts
from headrace.options import JobChanges, JobFilters, Span


class AsyncBulkVerbs(AsyncJobVerbs):
    """The verbs of AsyncClient that change what matches a filter. Without any filter they are refused."""

    async def stop_jobs(
        self,
        reason: str = "",
        *,
        tenant: str | None = None,
        validate_only: bool = False,
        grace_period: Span | None = None,
        requested_by: str = "",
        **filters: Unpack[JobFilters],
    ) -> StopCounts:
        """Stops the jobs that match and have not ended, each as stop does, and does not wait for them.

        The details are those of Client.stop_jobs.
        """
        total, token = StopCounts(), ""
        while True:
            call = bulk.stop_jobs(
                self._tenant(tenant),
                filters,
                validate_only=validate_only,
                reason=reason,
                grace_period=grace_period,
                requested_by=requested_by,
                page_token=token,
            )
            counts, token = await self._calls.make(call)
            total += counts
            if not token:
                return total

    async def update_jobs(
        self,
        changes: JobChanges,
        /,
        *,
        tenant: str | None = None,
        validate_only: bool = False,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Changes the given fields of the jobs that match, and answers how many hold the new values now.

        The details are those of Client.update_jobs.
        """
        total, token = 0, ""
        while True:
            call = bulk.update_jobs(
                self._tenant(tenant), changes, filters, validate_only=validate_only, page_token=token
            )
            count, token = await self._calls.make(call)
            total += count
            if not token:
                return total

    async def purge_jobs(
        self,
        *,
        tenant: str | None = None,
        validate_only: bool = False,
        stop_first: bool = False,
        grace_period: Span | None = None,
        wait_timeout: Span | None = None,
        requested_by: str = "",
        **filters: Unpack[JobFilters],
    ) -> PurgeCounts:
        """Deletes the jobs that match and have ended, with their history, whatever their retention. Locked jobs stay.

        The details are those of Client.purge_jobs.
        """
        total, token = PurgeCounts(), ""
        while True:
            call = bulk.purge_jobs(
                self._tenant(tenant),
                filters,
                validate_only=validate_only,
                stop_first=stop_first,
                grace_period=grace_period,
                wait_timeout=wait_timeout,
                requested_by=requested_by,
                page_token=token,
            )
            counts, token = await self._calls.make(call)
            total += counts
            if not token:
                return total
