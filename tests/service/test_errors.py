"""What callers get wrong: always an answer that names it, never INTERNAL or UNKNOWN."""

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from headrace.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    value_pb2,
)
from support.refusals import refusal
from support.server import Server

Stub = job_service_pb2_grpc.JobServiceStub


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A bare channel."""
    with grpc.insecure_channel(server.target, options=[("grpc.max_send_message_length", -1)]) as opened:
        yield opened


def refused(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, list[str]]:
    """Code, reason and fields of an answer."""
    found = refusal(error)
    return found.code, found.reason, found.fields


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
    "spec.attempt_timeout": job_pb2.JobSpec(
        type="test.noop", attempt_timeout=duration_pb2.Duration(seconds=-1)
    ),
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


FILTERS = {
    "filter.job_ids": job_pb2.JobFilter(job_ids=["x"] * 1001),
    "filter.statuses": job_pb2.JobFilter(statuses=[job_pb2.JOB_STATUS_PENDING] * 1001),
    "filter.types": job_pb2.JobFilter(types=["x*"] * 101),
    "filter.labels": job_pb2.JobFilter(labels={f"k{number}": "" for number in range(33)}),
    "filter.owners[1]": job_pb2.JobFilter(owners=["a", "o" * 256]),
    "filter.queues[0]": job_pb2.JobFilter(queues=["a\0b"]),
    "filter.labels[k]": job_pb2.JobFilter(labels={"k": "\0"}),
    "filter.create_time_from": job_pb2.JobFilter(create_time_from=timestamp_pb2.Timestamp(seconds=1 << 60)),
    "filter.status_time_to": job_pb2.JobFilter(status_time_to=timestamp_pb2.Timestamp(nanos=-1)),
    "filter.parameters": job_pb2.JobFilter(parameters=[{"name": "x", "prefix": "y"}]),
    "filter.parameters[0]": job_pb2.JobFilter(types=["test.echo"], parameters=[{"name": "x"}]),
    "filter.parameters[0].equals": job_pb2.JobFilter(
        types=["test.echo"], parameters=[{"name": "x", "equals": value_pb2.Value(double_value=float("nan"))}]
    ),
    "filter.parameters[0].name": job_pb2.JobFilter(
        types=["test.echo"], parameters=[{"name": "x" * 101, "prefix": ""}]
    ),
}


@pytest.mark.parametrize("field", FILTERS)
def test_bad_filters_are_named(channel: grpc.Channel, field: str) -> None:
    """A filter that is too large for the database or makes no sense is INVALID_ARGUMENT by its
    field (failure case 26).
    """
    for call, request in (
        (Stub(channel).ListJobs, job_service_pb2.ListJobsRequest(filter=FILTERS[field])),
        (Stub(channel).CountJobs, job_service_pb2.CountJobsRequest(filter=FILTERS[field])),
    ):
        with pytest.raises(grpc.RpcError) as error:
            call(request)
        code, reason, fields = refused(error.value)
        assert (code, reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])


@pytest.mark.parametrize(
    ("size", "length"), [(0, 100), (1, 1), (1000, 105), (1001, 105), ((1 << 31) - 1, 105)]
)
def test_page_sizes_are_clamped(channel: grpc.Channel, size: int, length: int) -> None:
    """A page size of 0 is 100 and one over 1000 is 1000, of jobs and of events; below 0 it is
    refused (failure case 26).
    """
    tenant = f"pages-{uuid.uuid4().hex[:8]}"
    spec = job_pb2.JobSpec(type="test.noop")
    stub = Stub(channel)
    job = stub.SubmitJob(job_service_pb2.SubmitJobRequest(tenant=tenant, spec=spec, hold=True)).job
    for number in range(1, 105):
        stub.SubmitJob(job_service_pb2.SubmitJobRequest(tenant=tenant, spec=spec, hold=True))
        patch = job_service_pb2.JobPatch(priority=number)
        stub.UpdateJob(
            job_service_pb2.UpdateJobRequest(
                tenant=tenant, job_id=job.job_id, patch=patch, update_mask={"paths": ["priority"]}
            )
        )
    jobs = stub.ListJobs(job_service_pb2.ListJobsRequest(tenant=tenant, page_size=size)).jobs
    events = job_service_pb2.ListJobEventsRequest(tenant=tenant, job_id=job.job_id, page_size=size)
    assert (len(jobs), len(stub.ListJobEvents(events).events)) == (length, length)
    events.page_size = -1
    with pytest.raises(grpc.RpcError) as error:
        stub.ListJobEvents(events)
    assert refused(error.value)[2] == ["page_size"]


def test_a_token_belongs_to_its_query_and_tenant(channel: grpc.Channel) -> None:
    """A page token of another tenant, filter, order, job, start or method is refused as such
    (failure case 26).
    """
    tenant, other = (f"tokens-{uuid.uuid4().hex[:8]}" for _ in range(2))
    stub = Stub(channel)
    spec = job_pb2.JobSpec(type="test.noop")
    made = [
        stub.SubmitJob(job_service_pb2.SubmitJobRequest(tenant=tenant, spec=spec, hold=True)).job
        for _ in range(3)
    ]
    for job in made:
        stub.StopJob(job_service_pb2.StopJobRequest(tenant=tenant, job_id=job.job_id))
    listing = job_service_pb2.ListJobsRequest(tenant=tenant, page_size=1)
    listing.page_token = stub.ListJobs(listing).next_page_token
    history = job_service_pb2.ListJobEventsRequest(tenant=tenant, job_id=made[0].job_id, page_size=1)
    history.page_token = stub.ListJobEvents(history).next_page_token
    assert [job.job_id for job in stub.ListJobs(listing).jobs] == [made[1].job_id]
    assert [event.revision for event in stub.ListJobEvents(history).events] == [2]

    foreign: list[tuple[Any, Any]] = [
        (stub.ListJobs, {"tenant": other}), (stub.ListJobs, {"tenant": "-"}),
        (stub.ListJobs, {"filter": job_pb2.JobFilter(owners=["ada"])}),
        (stub.ListJobs, {"order_by": job_pb2.JOB_ORDER_CREATE_TIME_ASC}),
        (stub.ListJobs, {"page_token": history.page_token}),
        (stub.ListJobs, {"page_token": listing.page_token[:-4]}), (stub.ListJobs, {"page_token": "é"}),
        (stub.ListJobEvents, {"job_id": made[1].job_id}), (stub.ListJobEvents, {"after_revision": 1}),
        (stub.ListJobEvents, {"page_token": listing.page_token}),
    ]  # fmt: skip
    for call, changed in foreign:
        request = type(listing if call is stub.ListJobs else history)()
        request.CopyFrom(listing if call is stub.ListJobs else history)
        request.MergeFrom(type(request)(**changed))
        with pytest.raises(grpc.RpcError) as error:
            call(request)
        code, reason, fields = refused(error.value)
        assert (code, reason, fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_PAGE_TOKEN",
            ["page_token"],
        ), changed


BAD_TEXTS = {
    "tenant": job_service_pb2.SubmitJobRequest(tenant="BAD"),
    "request_id": job_service_pb2.SubmitJobRequest(tenant="a", request_id="BAD"),
    "spec.owner": job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(priority=1, owner="BAD")),
    "spec.labels[k]": job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(labels={"k": "BAD"})),
    "spec.labels": job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(labels={"BAD": "v"})),
    "spec.parameters[x]": job_service_pb2.SubmitJobRequest(
        spec=job_pb2.JobSpec(parameters={"x": value_pb2.Value(string_value="BAD")})
    ),
    "spec.parameters[x][1][y]": job_service_pb2.SubmitJobRequest(
        spec=job_pb2.JobSpec(
            parameters={
                "x": value_pb2.Value(
                    list_value={
                        "values": [
                            value_pb2.Value(int_value=1),
                            value_pb2.Value(map_value={"values": {"y": value_pb2.Value(string_value="BAD")}}),
                        ]
                    }
                )
            }
        )
    ),
}


@pytest.mark.parametrize("bad", [b"\xffAD", b"B\xc0\x80", b"\xed\xa0\x80", b"BA\xe2"])
@pytest.mark.parametrize("field", BAD_TEXTS)
def test_text_that_is_not_utf8_is_named(channel: grpc.Channel, field: str, bad: bytes) -> None:
    """A text that is not UTF-8 is INVALID_ARGUMENT naming the field and the message type (failure
    case 25).
    """
    body = BAD_TEXTS[field].SerializeToString().replace(b"BAD", bad)
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/headrace.v1.JobService/SubmitJob")(body)  # type: ignore[misc]
    code, reason, fields = refused(error.value)
    assert (code, reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
    assert "headrace.v1.SubmitJobRequest" in (error.value.details() or "")  # type: ignore[attr-defined]


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
    assert f"headrace.v1.{method}Request" in error.value.details()  # type: ignore[attr-defined]


def test_bytes_that_do_not_decode_of_other_services(channel: grpc.Channel) -> None:
    """Malformed bytes name the message type whatever the method calls it (failure case 25)."""
    for method, name in (
        ("grpc.health.v1.Health/Check", "grpc.health.v1.HealthCheckRequest"),
        ("headrace.v1.AdminService/GetServerInfo", "headrace.v1.GetServerInfoRequest"),
    ):
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(f"/{method}")(b"\xff")  # type: ignore[misc]
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
        assert name in error.value.details()  # type: ignore[attr-defined]
    reflection = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as error:
        list(reflection(iter([b"\x2a\x00", b"\xff"])))  # type: ignore[misc]
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert "grpc.reflection.v1alpha.ServerReflectionRequest" in error.value.details()  # type: ignore[attr-defined]


def test_methods_that_there_are_not(channel: grpc.Channel) -> None:
    """A call of an unknown method or service is UNIMPLEMENTED, whatever it sends, and GetServerInfo
    counts it.
    """
    admin = admin_service_pb2_grpc.AdminServiceStub(channel)

    def counted() -> int:
        info = admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest())
        return int(info.counters["unknown_methods_total"])

    before = counted()
    for path in ("/headrace.v1.JobService/RunJobs", "/headrace.v2.JobService/GetJob", "/GetJob"):
        for call in (
            lambda body, path=path: channel.unary_unary(path)(body),
            lambda body, path=path: list(channel.stream_stream(path)(iter([body, body]))),
        ):
            with pytest.raises(grpc.RpcError) as error:
                call(b"\xff")
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
    assert counted() == before + 6


def test_requests_over_the_transport_limit(channel: grpc.Channel) -> None:
    """Over 4 MiB the transport answers RESOURCE_EXHAUSTED (failure case 24)."""
    spec = job_pb2.JobSpec(type="test.echo", description="x" * (5 << 20))
    with pytest.raises(grpc.RpcError) as error:
        Stub(channel).SubmitJob(job_service_pb2.SubmitJobRequest(spec=spec))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]


def test_a_result_over_the_limit(server: Server) -> None:
    """A result over 1 MiB ends its job as FAILED(RESULT_TOO_LARGE), and job, page and history stay
    readable (failure case 24).
    """
    with server.client(tenant=f"large-{uuid.uuid4().hex[:8]}") as client:
        job = client.submit("test.large", {"size": 5 << 20})
        ended = job.wait(60)
        assert ended.status == "FAILED"
        assert ended.error is not None
        assert ended.error.kind == "RESULT_TOO_LARGE"
        assert [found.job_id for found in client.list(view="FULL")] == [job.job_id]
        assert [event.status for event in job.events()][-1] == "FAILED"


def test_health_and_reflection(channel: grpc.Channel) -> None:
    """The standard health service says SERVING, lists what it knows, and reflection lists the
    services.
    """
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "headrace.v1.JobService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    statuses = health.List(health_pb2.HealthListRequest()).statuses
    assert {name: each.status for name, each in statuses.items()} == dict.fromkeys(
        ("", "live", "headrace.v1.JobService", "headrace.v1.AdminService"),
        health_pb2.HealthCheckResponse.SERVING,
    )
    with pytest.raises(grpc.RpcError) as error:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
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
