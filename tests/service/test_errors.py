"""What callers get wrong: always an answer that names it, never INTERNAL or UNKNOWN."""

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, value_pb2
from support.server import Server

Stub = job_service_pb2_grpc.JobServiceStub


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A bare channel."""
    with grpc.insecure_channel(server.target, options=[("grpc.max_send_message_length", -1)]) as opened:
        yield opened


def refused(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, list[str]]:
    """Code, reason and fields of an answer."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad)
    return error.code(), info.reason, [violation.field for violation in bad.field_violations]


NESTED = value_pb2.Value(int_value=1)
for _ in range(20):
    NESTED = value_pb2.Value(list_value=value_pb2.ListValue(values=[NESTED]))


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (value_pb2.Value(), "spec.parameters[x]"),
        (value_pb2.Value(double_value=float("nan")), "spec.parameters[x]"),
        (value_pb2.Value(double_value=float("inf")), "spec.parameters[x]"),
        (value_pb2.Value(string_value="a\0b"), "spec.parameters[x]"),
        (value_pb2.Value(date_value=value_pb2.Date(year=2026, month=13, day=1)), "spec.parameters[x]"),
        (value_pb2.Value(timestamp_value=timestamp_pb2.Timestamp(seconds=1 << 60)), "spec.parameters[x]"),
        (value_pb2.Value(duration_value=duration_pb2.Duration(seconds=1, nanos=-1)), "spec.parameters[x]"),
        (NESTED, "spec.parameters[x]"),
        (
            value_pb2.Value(map_value=value_pb2.MapValue(values={"": value_pb2.Value(int_value=1)})),
            "spec.parameters[x][]",
        ),
        (
            value_pb2.Value(list_value=value_pb2.ListValue(values=[value_pb2.Value()])),
            "spec.parameters[x][0]",
        ),
    ],
)
def test_bad_values_are_named(channel: grpc.Channel, value: value_pb2.Value, field: str) -> None:
    """A value that no job can take is INVALID_ARGUMENT and names the field (failure case 25)."""
    spec = job_pb2.JobSpec(type="test.echo", parameters={"x": value})
    with pytest.raises(grpc.RpcError) as error:
        Stub(channel).SubmitJob(job_service_pb2.SubmitJobRequest(spec=spec))
    code, reason, fields = refused(error.value)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert len(fields) == 1
    assert fields[0].startswith(field)


SPECS = {
    "spec.type": job_pb2.JobSpec(),
    "spec.owner": job_pb2.JobSpec(type="test.noop", owner="o" * 256),
    "spec.description": job_pb2.JobSpec(type="test.noop", description="\0"),
    "spec.priority": job_pb2.JobSpec(type="test.noop", priority=1 << 30),
    "spec.labels": job_pb2.JobSpec(type="test.noop", labels={"": "x"}),
    "spec.timeout": job_pb2.JobSpec(type="test.noop", timeout=duration_pb2.Duration(seconds=-1)),
    "spec.run_after": job_pb2.JobSpec(type="test.noop", run_after=timestamp_pb2.Timestamp(nanos=-1)),
    "spec.retry_policy.max_attempts": job_pb2.JobSpec(
        type="test.noop", retry_policy=job_pb2.RetryPolicy(max_attempts=-1)
    ),
    "spec.retry_policy.multiplier": job_pb2.JobSpec(
        type="test.noop", retry_policy=job_pb2.RetryPolicy(multiplier=float("nan"))
    ),
    "spec.parameters": job_pb2.JobSpec(
        type="test.echo", parameters={"x": value_pb2.Value(bytes_value=b"x" * (1 << 20))}
    ),
}


@pytest.mark.parametrize("field", SPECS)
def test_bad_fields_are_named(channel: grpc.Channel, field: str) -> None:
    """Every bad field of a spec is INVALID_ARGUMENT by its name (failure case 25)."""
    with pytest.raises(grpc.RpcError) as error:
        Stub(channel).SubmitJob(job_service_pb2.SubmitJobRequest(spec=SPECS[field]))
    code, _, fields = refused(error.value)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields == [field]


REQUESTS = {
    "tenant": ("GetJob", job_service_pb2.GetJobRequest(tenant="-", job_id="x")),
    "job_id": ("GetJob", job_service_pb2.GetJobRequest()),
    "view": ("GetJob", job_service_pb2.GetJobRequest(job_id="x", view=99)),  # type: ignore[arg-type]
    "request_id": (
        "SubmitJob",
        job_service_pb2.SubmitJobRequest(request_id="x" * 101, spec=SPECS["spec.type"]),
    ),
    "order_by": ("ListJobs", job_service_pb2.ListJobsRequest(order_by=99)),  # type: ignore[arg-type]
    "filter.statuses": (
        "ListJobs",
        job_service_pb2.ListJobsRequest(filter=job_pb2.JobFilter(statuses=[99])),  # type: ignore[list-item]
    ),
    "filter.types[0]": (
        "CountJobs",
        job_service_pb2.CountJobsRequest(filter=job_pb2.JobFilter(types=["a*b"])),
    ),
    "group_by": ("CountJobs", job_service_pb2.CountJobsRequest(group_by=[99])),  # type: ignore[list-item]
    "grace_period": (
        "StopJob",
        job_service_pb2.StopJobRequest(job_id="x", grace_period=duration_pb2.Duration(seconds=3601)),
    ),
    "wait_timeout": (
        "WaitJob",
        job_service_pb2.WaitJobRequest(job_id="x", wait_timeout=duration_pb2.Duration(seconds=-1)),
    ),
    "update_mask": ("UpdateJob", job_service_pb2.UpdateJobRequest(job_id="x")),
    "after_revision": ("ListJobEvents", job_service_pb2.ListJobEventsRequest(job_id="x", after_revision=-1)),
}


@pytest.mark.parametrize("field", REQUESTS)
def test_bad_requests_are_named(channel: grpc.Channel, field: str) -> None:
    """Every bad field of a request is INVALID_ARGUMENT by its name (failure case 26)."""
    method, request = REQUESTS[field]
    with pytest.raises(grpc.RpcError) as error:
        getattr(Stub(channel), method)(request)
    code, _, fields = refused(error.value)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields == [field]


@pytest.mark.parametrize("method", ["SubmitJob", "GetJob", "ListJobs", "StopJob", "UpdateJob"])
def test_bytes_that_do_not_decode(channel: grpc.Channel, method: str) -> None:
    """Malformed bytes are INVALID_ARGUMENT naming the message type (failure case 25)."""
    call = channel.unary_unary(f"/headrace.v1.JobService/{method}")
    with pytest.raises(grpc.RpcError) as error:
        call(b"\xff\xff\xff\xff")  # type: ignore[misc]
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert f"headrace.v1.{method}Request" in error.value.details()  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["WatchJob", "RunJob"])
def test_bytes_that_do_not_decode_on_a_stream(channel: grpc.Channel, method: str) -> None:
    """The same for streams (failure case 25)."""
    call = channel.unary_stream(f"/headrace.v1.JobService/{method}")
    with pytest.raises(grpc.RpcError) as error:
        list(call(b"\xff\xff\xff\xff"))  # type: ignore[misc]
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]


def test_requests_over_the_transport_limit(channel: grpc.Channel) -> None:
    """Over 4 MiB the transport answers RESOURCE_EXHAUSTED (failure case 24)."""
    spec = job_pb2.JobSpec(type="test.echo", description="x" * (5 << 20))
    with pytest.raises(grpc.RpcError) as error:
        Stub(channel).SubmitJob(job_service_pb2.SubmitJobRequest(spec=spec))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]


def test_health_and_reflection(channel: grpc.Channel) -> None:
    """The standard health service says SERVING, and reflection lists the services."""
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "headrace.v1.JobService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
    names = {service.name for answer in answers for service in answer.list_services_response.service}
    assert "headrace.v1.JobService" in names


def test_idle_streams_get_heartbeats(channel: grpc.Channel) -> None:
    """A stream on which nothing happens shows that it is alive."""
    spec = job_pb2.JobSpec(type="test.noop")
    job = Stub(channel).SubmitJob(job_service_pb2.SubmitJobRequest(spec=spec, hold=True)).job
    watch = Stub(channel).WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id))
    kinds = [next(watch).update.WhichOneof("kind") for _ in range(3)]
    assert kinds == ["snapshot", "heartbeat", "heartbeat"]
    watch.cancel()
