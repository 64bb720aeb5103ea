"""What can be done with all jobs that match a filter, blocking."""

from typing import Unpack

from headrace._methods.job_methods import JobVerbs
from headrace._requests import bulk
from headrace.info import PurgeCounts, StopCounts
from headrace.options import JobChanges, JobFilters, Span


class BulkVerbs(JobVerbs):
    """The verbs of Client that change what matches a filter. Without any filter they are refused."""

    def stop_jobs(
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

        Without any filter it is refused; job_ids names jobs one by one. validate_only changes nothing and answers what
        would be done. headrace.options.JobFilters lists the filters.
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
            counts, token = self._calls.make(call)
            total += counts
            if not token:
                return total

    def update_jobs(
        self,
        changes: JobChanges,
        /,
        *,
        tenant: str | None = None,
        validate_only: bool = False,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Changes the given fields of the jobs that match, and answers how many hold the new values now.

        Such as update_jobs({"expire_time": timedelta(hours=1)}, owners="ann"). Where priority, run_after or expire_time
        is among them, jobs that have ended are left out. Without any filter it is refused. validate_only changes
        nothing and answers how many it would be.
        """
        total, token = 0, ""
        while True:
            call = bulk.update_jobs(
                self._tenant(tenant), changes, filters, validate_only=validate_only, page_token=token
            )
            count, token = self._calls.make(call)
            total += count
            if not token:
                return total

    def purge_jobs(
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

        With stop_first, jobs that have not ended are stopped, and deleted once they have ended: none is deleted
        while it runs. Those that have not ended within wait_timeout (at most 60 s; not waited for when left out) stay,
        counted as stopping: call it again. Without any filter it is refused. validate_only changes nothing and answers
        what would be done. It may be repeated: what an answer that was lost had deleted is not counted again.
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
            counts, token = self._calls.make(call)
            total += counts
            if not token:
                return total
