"""The calls of both clients, as data: what is sent, and how its answer is read.

    client.get(job_id)         ──▶  requests.get(...)   ──▶  Call  ──▶  JobInfo
    await aclient.get(job_id)  ──▶        the same                      the same

Client and AsyncClient differ in how they wait, in nothing else.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from headrace._models.enums import CountGroup, JobOrder, JobView
from headrace._requests import admin_answers, convert, event_message, spec
from headrace.info import Counts, Instance, JobEvent, JobInfo, JobType, Page, ServerInfo, StopResult
from headrace.options import JobChanges, JobFilters, JobOptions, Span
from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2

T = TypeVar("T")

WAIT_SLICE = 60.0
"""The longest that one WaitJob or StopJob waits on the server, in seconds: the contract's limit."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A unary call to be made."""

    method: str
    request: Message
    read: Callable[[Any], T]
    """From its response to what the verb answers."""
    service: Literal["jobs", "admin"] = "jobs"
    server_wait: float = 0.0
    """Seconds that the server was asked to wait: the deadline begins after them."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job on disk, and whether an earlier submit with this request_id made it."""

    job: JobInfo
    existing: bool


def submit(
    tenant: str, job_type: str, parameters: Mapping[str, Any] | None, options: JobOptions, *, hold: bool
) -> Call[Submitted]:
    """SubmitJob; with a request_id of its own where none is given, so that it may be repeated."""
    request = job_service_pb2.SubmitJobRequest(
        tenant=tenant,
        request_id=options.get("request_id") or str(uuid.uuid4()),
        spec=spec.job_spec(job_type, parameters, options),
        hold=hold,
    )
    return Call("SubmitJob", request, lambda answer: Submitted(convert.job(answer.job), answer.existing))


def run(
    tenant: str,
    job_type: str,
    parameters: Mapping[str, Any] | None,
    options: JobOptions,
    *,
    include_messages: bool,
    min_progress_interval: Span | None,
) -> job_service_pb2.RunJobRequest:
    """Returns the request that opens a watch which submits its own job."""
    return job_service_pb2.RunJobRequest(
        tenant=tenant,
        request_id=options.get("request_id") or str(uuid.uuid4()),
        spec=spec.job_spec(job_type, parameters, options),
        include_messages=include_messages,
        min_progress_interval=spec.span("min_progress_interval", min_progress_interval),
    )


def submit_of(request: job_service_pb2.RunJobRequest) -> job_service_pb2.SubmitJobRequest:
    """The submit that a RunJob makes."""
    return job_service_pb2.SubmitJobRequest(
        tenant=request.tenant, request_id=request.request_id, spec=request.spec
    )


def submit_and_wait(request: job_service_pb2.SubmitJobRequest, remaining: float | None) -> Call[JobInfo]:
    """A SubmitJob that waits for the end of its job as `wait` does."""
    length = WAIT_SLICE if remaining is None else min(remaining, WAIT_SLICE)
    waiting = job_service_pb2.SubmitJobRequest(
        tenant=request.tenant,
        request_id=request.request_id,
        spec=request.spec,
        wait_timeout=spec.span("timeout", length),
    )
    return Call("SubmitJob", waiting, _job, server_wait=length)


def submit_again(request: job_service_pb2.RunJobRequest) -> Call[Submitted]:
    """The submit that a run made or would have made: says which job it is."""
    again = submit_of(request)
    return Call("SubmitJob", again, lambda answer: Submitted(convert.job(answer.job), answer.existing))


def watch(
    tenant: str,
    job_id: str,
    *,
    after_revision: int | None,
    include_messages: bool,
    min_progress_interval: Span | None,
) -> job_service_pb2.WatchJobRequest:
    """Returns the request that opens a watch."""
    return job_service_pb2.WatchJobRequest(
        tenant=tenant,
        job_id=job_id,
        after_revision=after_revision,
        include_messages=include_messages,
        min_progress_interval=spec.span("min_progress_interval", min_progress_interval),
    )


def get(tenant: str, job_id: str, view: JobView | str) -> Call[JobInfo]:
    """GetJob."""
    request = job_service_pb2.GetJobRequest(tenant=tenant, job_id=job_id, view=_view(view))
    return Call("GetJob", request, _job)


def release(tenant: str, job_id: str) -> Call[JobInfo]:
    """ReleaseJob."""
    return Call("ReleaseJob", job_service_pb2.ReleaseJobRequest(tenant=tenant, job_id=job_id), _job)


def wait(tenant: str, job_id: str, remaining: float | None) -> Call[JobInfo]:
    """WaitJob for the time that is left, or as long as one call can."""
    length = WAIT_SLICE if remaining is None else min(remaining, WAIT_SLICE)
    request = job_service_pb2.WaitJobRequest(
        tenant=tenant, job_id=job_id, wait_timeout=spec.span("timeout", length)
    )
    return Call("WaitJob", request, _job, server_wait=length)


def stop(
    tenant: str,
    job_id: str,
    *,
    reason: str,
    grace_period: Span | None,
    wait_timeout: Span | None,
    requested_by: str,
) -> Call[StopResult]:
    """StopJob."""
    request = job_service_pb2.StopJobRequest(
        tenant=tenant,
        job_id=job_id,
        reason=reason,
        grace_period=spec.span("grace_period", grace_period),
        wait_timeout=spec.span("wait_timeout", wait_timeout),
        requested_by=requested_by,
    )
    waited = min(spec.seconds("wait_timeout", wait_timeout or 0.0), WAIT_SLICE)
    return Call("StopJob", request, convert.stop_result, server_wait=waited)


def update(tenant: str, job_id: str, etag: str, changes: JobChanges) -> Call[JobInfo]:
    """UpdateJob of the fields that are given."""
    request = job_service_pb2.UpdateJobRequest(
        tenant=tenant,
        job_id=job_id,
        etag=etag,
        patch=spec.job_patch(changes),
        update_mask=FieldMask(paths=sorted(changes)),
    )
    return Call("UpdateJob", request, _job)


def delete(tenant: str, job_id: str, *, allow_missing: bool) -> Call[None]:
    """DeleteJob."""
    request = job_service_pb2.DeleteJobRequest(tenant=tenant, job_id=job_id, allow_missing=allow_missing)
    return Call("DeleteJob", request, lambda _answer: None)


def list_page(
    tenant: str,
    filters: JobFilters,
    *,
    order_by: JobOrder | str,
    page_size: int,
    page_token: str,
    view: JobView | str,
) -> Call[Page[JobInfo]]:
    """ListJobs."""
    order = spec.word("order_by", JobOrder, order_by)
    request = job_service_pb2.ListJobsRequest(
        tenant=tenant,
        filter=spec.job_filter(filters),
        order_by=job_pb2.JobOrder.Value(f"JOB_ORDER_{order}"),
        page_size=spec.int32("page_size", page_size),
        page_token=page_token,
        view=_view(view),
    )

    def read(answer: job_service_pb2.ListJobsResponse) -> Page[JobInfo]:
        return Page(tuple(map(convert.job, answer.jobs)), answer.next_page_token)

    return Call("ListJobs", request, read)


def count(
    tenant: str, filters: JobFilters, group_by: CountGroup | str | Iterable[CountGroup | str]
) -> Call[Counts]:
    """CountJobs."""
    groups = [spec.word("group_by", CountGroup, group) for group in spec.entries(group_by)]
    request = job_service_pb2.CountJobsRequest(
        tenant=tenant,
        filter=spec.job_filter(filters),
        group_by=[job_service_pb2.CountGroup.Value(f"COUNT_GROUP_{group}") for group in groups],
    )
    return Call("CountJobs", request, lambda answer: convert.counts(answer, groups))


def events_page(
    tenant: str, job_id: str, *, after_revision: int, page_size: int, page_token: str
) -> Call[Page[JobEvent]]:
    """ListJobEvents."""
    request = job_service_pb2.ListJobEventsRequest(
        tenant=tenant,
        job_id=job_id,
        after_revision=after_revision,
        page_size=spec.int32("page_size", page_size),
        page_token=page_token,
    )

    def read(answer: job_service_pb2.ListJobEventsResponse) -> Page[JobEvent]:
        return Page(tuple(map(event_message.event, answer.events)), answer.next_page_token)

    return Call("ListJobEvents", request, read)


def types(tenant: str) -> Call[tuple[JobType, ...]]:
    """ListJobTypes."""
    request = job_service_pb2.ListJobTypesRequest(tenant=tenant)
    return Call("ListJobTypes", request, lambda answer: tuple(map(convert.job_type, answer.job_types)))


def server_info(tenant: str) -> Call[ServerInfo]:
    """GetServerInfo."""
    request = admin_service_pb2.GetServerInfoRequest(tenant=tenant)
    return Call("GetServerInfo", request, admin_answers.server_info, service="admin")


def instances(tenant: str) -> Call[tuple[Instance, ...]]:
    """ListInstances."""
    request = admin_service_pb2.ListInstancesRequest(tenant=tenant)
    return Call("ListInstances", request, admin_answers.instances, service="admin")


def _job(answer: Any) -> JobInfo:
    """The job of an answer that holds one."""
    job: job_pb2.JobInfo = answer.job
    return convert.job(job)


def _view(view: JobView | str) -> job_pb2.JobView.ValueType:
    return job_pb2.JobView.Value(f"JOB_VIEW_{spec.word('view', JobView, view)}")
