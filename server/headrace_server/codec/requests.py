"""Requests: protobuf to the words of the use cases. What does not parse is named by its field."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, TypeVar

from google.protobuf.message import Message

from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2
from headrace.wire import InvalidValue, from_proto
from headrace_server.codec.times import duration, refuse, time
from headrace_server.domain.gate import Gate, Scope
from headrace_server.domain.job import Status
from headrace_server.domain.query import ALL_TENANTS, Filter, Group, Order, ParameterFilter, Selection
from headrace_server.domain.requests import ANY_STATUS_FIELDS, LIVE_FIELDS
from headrace_server.domain.values import in_order

T = TypeVar("T")

TENANT_MAX = 100
DEFAULT_GRACE = 10_000_000
UPDATABLE = (*ANY_STATUS_FIELDS, *LIVE_FIELDS)
GATE_FIELDS = ("paused", "max_running", "max_running_per_owner", "weight")
SCOPES = dict(enumerate(Scope, 1))
"""Scopes by the numbers of the contract."""
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def tenant(name: str, *, all_allowed: bool = False) -> str:
    """The tenant of a request; "-" only where a method answers for all."""
    if not name:
        return "default"
    if name == ALL_TENANTS and not all_allowed:
        raise refuse("tenant", 'Only ListJobs and CountJobs take "-" for all tenants.')
    if len(name) > TENANT_MAX or "\0" in name:
        raise refuse("tenant", f"A tenant is 1 to {TENANT_MAX} characters without NUL.")
    return name


def job_id(text: str) -> str:
    """The job of a request."""
    if not text:
        raise refuse("job_id", "The job is not named.")
    if len(text) > 100 or "\0" in text:  # noqa: PLR2004 - longer than any id
        raise refuse("job_id", "That is not the id of a job.")
    return text


def grace(message: Message) -> int:
    """The grace period of a stop in microseconds."""
    span = duration(message, "grace_period", "grace_period")
    return DEFAULT_GRACE if span is None else span


class StopArguments(TypedDict):
    """The arguments of Jobs.stop."""

    tenant: str
    job_id: str
    reason: str
    grace: int
    wait: float
    requested_by: str


def stop(request: job_service_pb2.StopJobRequest) -> StopArguments:
    """A stop, whether it comes by a call or by a message."""
    return StopArguments(
        tenant=tenant(request.tenant),
        job_id=job_id(request.job_id),
        reason=request.reason,
        grace=grace(request),
        wait=seconds(request, "wait_timeout", 0),
        requested_by=request.requested_by,
    )


def seconds(message: Message, field: str, default: float) -> float:
    """Seconds of a Duration field that may not be negative."""
    span = duration(message, field, field)
    if span is None:
        return default
    if span < 0:
        raise refuse(field, "It is not negative.")
    return span / 1_000_000


def traceparent(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the trace that a call belongs to, or an empty text for none.

    A trace that is not valid counts as none, as W3C Trace Context has it.
    """
    for name, value in metadata:
        if name == "traceparent" and isinstance(value, str) and _TRACEPARENT.fullmatch(value):
            return value
    return ""


def job_filter(message: job_pb2.JobFilter) -> Filter:
    """A filter."""
    return Filter(
        statuses=tuple(_enum(Status, status, "filter.statuses") for status in message.statuses),
        types=tuple(message.types),
        owners=tuple(message.owners),
        queues=tuple(message.queues),
        session_ids=tuple(message.session_ids),
        job_ids=tuple(message.job_ids),
        batch_ids=tuple(message.batch_ids),
        labels=dict(sorted(message.labels.items())),
        create_time_from=time(message, "create_time_from", "filter.create_time_from"),
        create_time_to=time(message, "create_time_to", "filter.create_time_to"),
        status_time_from=time(message, "status_time_from", "filter.status_time_from"),
        status_time_to=time(message, "status_time_to", "filter.status_time_to"),
        parameters=tuple(
            _parameter(parameter, f"filter.parameters[{index}]")
            for index, parameter in enumerate(message.parameters)
        ),
    )


def selection(
    request: job_service_pb2.StopJobsRequest
    | job_service_pb2.UpdateJobsRequest
    | admin_service_pb2.PurgeJobsRequest,
) -> Selection:
    """Which jobs something is done with."""
    return Selection(tenant(request.tenant), job_filter(request.filter), request.page_token)


def _parameter(message: job_pb2.ParameterFilter, path: str) -> ParameterFilter:
    match message.WhichOneof("match"):
        case "equals":
            try:
                value = from_proto(message.equals)
            except InvalidValue as error:
                raise refuse(f"{path}.equals", error.description) from None
            return ParameterFilter(message.name, equals=in_order(value))
        case "prefix":
            return ParameterFilter(message.name, prefix=message.prefix)
        case _:
            raise refuse(path, "The condition is not set: give equals or prefix.")


def order(number: int) -> Order:
    """The order of a list."""
    return _enum(Order, number or Order.CREATE_TIME_DESC, "order_by")


def groups(numbers: Any) -> tuple[Group, ...]:
    """Return the properties by which counts are grouped."""
    return tuple(_enum(Group, number, "group_by") for number in numbers)


def page_size(size: int) -> int:
    """A page size; clamped later."""
    if size < 0:
        raise refuse("page_size", "It is not negative.")
    return size


def full_view(view: int, *, default: bool) -> bool:
    """Whether a view includes the payload."""
    if view not in job_pb2.JobView.values():
        raise refuse("view", f"There is no view {view}.")
    return default if view == job_pb2.JOB_VIEW_UNSPECIFIED else view == job_pb2.JOB_VIEW_FULL


def patch(request: job_service_pb2.UpdateJobRequest | job_service_pb2.UpdateJobsRequest) -> dict[str, Any]:
    """The fields that an update changes, with their new values."""
    paths = list(dict.fromkeys(request.update_mask.paths))
    if not paths:
        raise refuse("update_mask", f"Name at least one of {', '.join(UPDATABLE)}.")
    fields: dict[str, Any] = {}
    for path in paths:
        if path not in UPDATABLE:
            raise refuse(
                "update_mask", f"There is no field {path!r} to update; there are {', '.join(UPDATABLE)}."
            )
        if path in ("run_after", "expire_time"):
            fields[path] = time(request.patch, path, f"patch.{path}")
        else:
            value = getattr(request.patch, path)
            fields[path] = dict(value) if path == "labels" else value
    return fields


def gate(message: admin_service_pb2.Gate) -> Gate:
    """Which gate is meant; nothing is said of it yet."""
    if message.scope not in SCOPES:
        raise refuse("gate.scope", "It is a queue, a tenant or a type.")
    return Gate(SCOPES[message.scope], message.name)


def gate_patch(request: admin_service_pb2.UpdateGateRequest) -> dict[str, Any]:
    """The fields of a gate that an update changes, with their new values."""
    paths = list(dict.fromkeys(request.update_mask.paths))
    if not paths or not set(paths) <= set(GATE_FIELDS):
        raise refuse("update_mask", f"Name at least one of {', '.join(GATE_FIELDS)}, and nothing else.")
    message = request.gate
    fields: dict[str, Any] = {
        path: getattr(message, path) if not path.startswith("max_") or message.HasField(path) else None  # type: ignore[arg-type] # a name of a limit
        for path in paths
    }
    if "weight" in fields:
        fields["weight"] = fields["weight"] or 1
    return fields


def _enum(kind: Callable[[int], T], number: int, path: str) -> T:
    try:
        return kind(number)
    except ValueError:
        raise refuse(path, f"There is no value {number}.") from None
