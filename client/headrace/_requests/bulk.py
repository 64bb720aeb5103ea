"""The requests of the methods that take a filter and change what matches it."""

from google.protobuf.field_mask_pb2 import FieldMask

from headrace._requests import spec
from headrace._requests.requests import WAIT_SLICE, Call
from headrace.info import PurgeCounts, StopCounts
from headrace.options import JobChanges, JobFilters, Span
from headrace.v1 import admin_service_pb2, job_service_pb2


def stop_jobs(
    tenant: str,
    filters: JobFilters,
    page_token: str,
    *,
    validate_only: bool,
    reason: str,
    grace_period: Span | None,
    requested_by: str,
) -> Call[tuple[StopCounts, str]]:
    """StopJobs; its answer with the token that goes on."""
    request = job_service_pb2.StopJobsRequest(
        tenant=tenant,
        filter=spec.job_filter(filters),
        validate_only=validate_only,
        reason=reason,
        grace_period=spec.span("grace_period", grace_period),
        requested_by=requested_by,
        page_token=page_token,
    )

    def read(answer: job_service_pb2.StopJobsResponse) -> tuple[StopCounts, str]:
        return StopCounts(answer.stopped, answer.stopping), answer.next_page_token

    return Call("StopJobs", request, read)


def update_jobs(
    tenant: str, changes: JobChanges, filters: JobFilters, page_token: str, *, validate_only: bool
) -> Call[tuple[int, str]]:
    """UpdateJobs; its answer with the token that goes on."""
    request = job_service_pb2.UpdateJobsRequest(
        tenant=tenant,
        filter=spec.job_filter(filters),
        validate_only=validate_only,
        patch=spec.job_patch(changes),
        update_mask=FieldMask(paths=sorted(changes)),
        page_token=page_token,
    )
    return Call("UpdateJobs", request, lambda answer: (answer.updated, answer.next_page_token))


def purge_jobs(
    tenant: str,
    filters: JobFilters,
    page_token: str,
    *,
    validate_only: bool,
    stop_first: bool,
    grace_period: Span | None,
    wait_timeout: Span | None,
    requested_by: str,
) -> Call[tuple[PurgeCounts, str]]:
    """PurgeJobs; its answer with the token that goes on."""
    request = admin_service_pb2.PurgeJobsRequest(
        tenant=tenant,
        filter=spec.job_filter(filters),
        validate_only=validate_only,
        stop_first=stop_first,
        grace_period=spec.span("grace_period", grace_period),
        wait_timeout=spec.span("wait_timeout", wait_timeout),
        requested_by=requested_by,
        page_token=page_token,
    )
    waited = min(spec.seconds("wait_timeout", wait_timeout or 0.0), WAIT_SLICE)

    def read(answer: admin_service_pb2.PurgeJobsResponse) -> tuple[PurgeCounts, str]:
        counts = PurgeCounts(answer.purged, answer.stopping, answer.locked, answer.unended)
        return counts, answer.next_page_token

    return Call("PurgeJobs", request, read, service="admin", server_wait=waited)
