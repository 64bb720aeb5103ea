# Made by `make sync` from ../aio/bulk_methods.py: change that.
"""The methods of a client that change all jobs that match a filter."""

from functools import partial
from typing import Unpack

from headrace._methods.sync.job_methods import JobMethods
from headrace._requests import bulk
from headrace.info import PurgeCounts, StopCounts
from headrace.options import JobChanges, JobFilters, Span


class BulkMethods(JobMethods):
    """The methods of Client that change all jobs that match a filter.

    They are refused without any filter.
    """

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
        """Stops the matching jobs that have not ended, each as `stop` does.

        It does not wait for them to end.

        Without any filter it is refused; job_ids names jobs one by one. validate_only changes
        nothing and answers what would be done. headrace.options.JobFilters lists the filters.
        """
        part = partial(
            bulk.stop_jobs,
            self._tenant(tenant),
            filters,
            validate_only=validate_only,
            reason=reason,
            grace_period=grace_period,
            requested_by=requested_by,
        )
        return self._total(StopCounts(), part)

    def update_jobs(
        self,
        changes: JobChanges,
        /,
        *,
        tenant: str | None = None,
        validate_only: bool = False,
        **filters: Unpack[JobFilters],
    ) -> int:
        """Changes the given fields of the matching jobs.

        Returns how many jobs now hold the new values.

        Such as update_jobs({"expire_time": timedelta(hours=1)}, owners="ann"). Where priority,
        run_after or expire_time is among them, jobs that have ended are left out. Without any
        filter it is refused. validate_only changes nothing and answers how many it would be.
        """
        part = partial(bulk.update_jobs, self._tenant(tenant), changes, filters, validate_only=validate_only)
        return self._total(0, part)

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
        """Deletes the matching jobs that have ended, with their history.

        Their retention does not matter. Locked jobs stay.

        With stop_first, jobs that have not ended are stopped, and deleted once they have ended:
        none is deleted while it runs. Those that have not ended within wait_timeout (at most 60 s;
        not waited for when left out) stay, counted as stopping: call it again. Without any filter
        it is refused. validate_only changes nothing and answers what would be done. It may be
        repeated: what an answer that was lost had deleted is not counted again.
        """
        part = partial(
            bulk.purge_jobs,
            self._tenant(tenant),
            filters,
            validate_only=validate_only,
            stop_first=stop_first,
            grace_period=grace_period,
            wait_timeout=wait_timeout,
            requested_by=requested_by,
        )
        return self._total(PurgeCounts(), part)
