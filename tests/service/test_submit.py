"""Submitting: what is accepted, refused and remembered."""

import time
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from headrace import Client, File, Reference
from headrace.errors import InvalidArgument, InvalidParameter, JobNotFound, RequestIdReused, UnknownType
from headrace.info import JobEvent, JobInfo
from headrace.v1 import job_pb2
from headrace.v1 import job_service_pb2 as pb
from headrace.v1.job_service_pb2_grpc import JobServiceStub
from support.server import Server, until


def test_submit_answers_a_queued_job(client: Client) -> None:
    """SubmitJob answers a string id and a job that is on its way (acceptance 1, 8, 35)."""
    job = client.submit("test.noop", description="first")
    assert str(uuid.UUID(job.job_id)) == job.job_id
    assert job.info is not None
    assert job.info.status == "QUEUED"
    assert client.get(job.job_id).job_id == job.job_id


def test_held_job_waits_for_its_release(client: Client) -> None:
    """A held job stays PENDING until ReleaseJob, which is harmless to repeat (acceptance 2, 4)."""
    job = client.submit("test.noop", hold=True)
    assert job.info is not None
    assert job.info.status == "PENDING"
    assert job.refresh().status == "PENDING"
    job.release()
    assert job.wait(30).status == "SUCCEEDED"


def test_get_of_an_unknown_job(client: Client) -> None:
    """A job that does not exist is NOT_FOUND, and the error names it (acceptance 35)."""
    with pytest.raises(JobNotFound, match="nowhere"):
        client.get("nowhere")


def test_view_basic_leaves_out_what_is_large(client: Client) -> None:
    """GetJob with view BASIC answers the status without parameters and results (acceptance 36)."""
    job = client.submit("test.echo", {"x": 1})
    job.wait(30)
    basic = client.get(job.job_id, view="BASIC")
    assert basic.status == "SUCCEEDED"
    assert not basic.spec.parameters
    assert basic.result is None


def test_double_submit_is_one_job(client: Client) -> None:
    """The same request_id with the same spec is one job; with another it is refused (acceptance 6,
    failure case 22).
    """
    first = client.submit("test.echo", {"x": 1}, request_id="r1")
    again = client.submit("test.echo", {"x": 1}, request_id="r1")
    assert (again.job_id, again.existing) == (first.job_id, True)
    with pytest.raises(RequestIdReused) as refused:
        client.submit("test.echo", {"x": 2}, request_id="r1")
    assert refused.value.metadata["job_id"] == first.job_id


def test_unknown_type_is_refused(client: Client) -> None:
    """An unknown type is INVALID_ARGUMENT, and the error names what exists (acceptance 9, failure
    case 27).
    """
    with pytest.raises(UnknownType, match=r"test\.echo") as refused:
        client.submit("test.ecko")
    assert refused.value.fields[0].field == "spec.type"


def test_every_bad_parameter_is_named(client: Client) -> None:
    """Missing, unknown and ill-typed parameters each have a violation of their own (acceptance 17)."""
    with pytest.raises(InvalidParameter) as refused:
        client.submit("test.typed", {"ratio": "much", "colour": "red"})
    assert {violation.field for violation in refused.value.fields} == {
        "spec.parameters[count]",
        "spec.parameters[ratio]",
        "spec.parameters[colour]",
    }


def test_parameter_names_are_bounded(client: Client) -> None:
    """A parameter's name is 1 to 100 characters; names are unique because they are a map
    (acceptance 18).
    """
    with pytest.raises(InvalidArgument):
        client.submit("test.echo", {"x" * 101: 1})
    assert client.submit("test.echo", {"x" * 100: 1}).result(30) == {"x" * 100: 1}


def test_values_of_every_kind_survive(client: Client) -> None:
    """What goes in comes out with its type: all thirteen kinds (acceptance 14, 15, 19)."""
    values = {
        "none": None, "yes": True, "int": -(2**63), "double": 1.0, "text": "ä\n€", "bytes": b"\x00\xff",
        "date": date(2026, 11, 22), "time": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        "span": timedelta(days=-1, microseconds=1), "list": [1, [2.5, None]], "map": {"$": {"v": [b""]}},
        "entity": Reference("order", "4711"), "file": File("s3://b/k", "image/png", 12, "sha256:00"),
    }  # fmt: skip
    job = client.submit("test.echo", values)
    result = job.result(30)
    assert result == values
    assert {name: type(value) for name, value in result.items()} == {n: type(v) for n, v in values.items()}
    assert job.refresh().spec.parameters == values


def test_parameters_fit_the_signature(client: Client) -> None:
    """Parameters become what the signature says; getters have a type and a default (acceptance 16)."""
    job = client.submit("test.typed", {"count": "32", "when": "2026-11-22", "span": 5})
    assert job.result(30) == {
        "count": 32, "ratio": 0.5, "when": date(2026, 11, 22), "at": None, "span": timedelta(seconds=5),
        "entity": None, "names": None, "by_param": 32, "missing": "default",
    }  # fmt: skip


def test_run_after_is_kept(client: Client) -> None:
    """A job with run_after starts at its time, not before, and within 100 ms when a slot is free
    (acceptance 5).
    """
    client.submit("test.noop").wait(30)
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    job = client.submit("test.noop", run_after=at).wait(30)
    assert job.start_time is not None
    delay = (job.start_time - at).total_seconds()
    # A guard at five times the promise.
    assert 0 <= delay < 0.5


def test_expiry_is_prompt(client: Client) -> None:
    """A job not started by expire_time is FAILED(EXPIRED) (acceptance 46)."""
    job = client.submit("test.noop", hold=True, expire_time=timedelta(seconds=0.1)).wait(30)
    assert job.status == "FAILED"
    assert job.error is not None
    assert job.error.kind == "EXPIRED"


def test_description_owner_session(client: Client) -> None:
    """Description, owner and session are kept, and the job's code sees them and its tenant
    (acceptance 13, 54, 56).
    """
    job = client.submit(
        "test.context", description="nightly", owner="ada", session_id="s1", labels={"team": "x"}
    )
    result = job.result(30)
    info = job.refresh()
    assert (info.spec.description, info.spec.owner, info.spec.session_id) == ("nightly", "ada", "s1")
    assert (result["description"], result["owner"], result["session_id"]) == ("nightly", "ada", "s1")
    assert (result["tenant"], result["labels"]) == (info.tenant, {"team": "x"})


def test_session_is_a_filter(client: Client) -> None:
    """Jobs can be found by their session (acceptance 55)."""
    job = client.submit("test.noop", session_id="s2")
    client.submit("test.noop", session_id="s3")
    assert [found.job_id for found in client.list(session_ids=["s2"])] == [job.job_id]


@pytest.mark.slow
def test_priority_then_age(server_with_one_worker: Client, note: Path, gate: Path) -> None:
    """Higher priority runs first, equal priority in the order of submission (acceptance 48)."""
    client = server_with_one_worker
    client.submit("test.record", {"log": str(note), "gate": str(gate), "tag": "blocker"})
    until(note.exists, "the blocker has begun")
    jobs = [
        client.submit("test.record", {"log": str(note), "tag": tag}, priority=priority)
        for tag, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1))
    ]
    gate.touch()
    for job in jobs:
        assert job.wait(30).status == "SUCCEEDED"
    order = [line.split()[1] for line in note.read_text().splitlines() if line.startswith("start")]
    assert order == ["blocker", "b", "d", "a", "c", "e"]


@pytest.mark.slow
def test_claims_visit_tenants_in_turn(server_with_one_worker: Client, note: Path, gate: Path) -> None:
    """A tenant with many jobs does not keep another waiting behind them."""
    client = server_with_one_worker
    client.submit("test.record", {"log": str(note), "gate": str(gate), "tag": "blocker"})
    until(note.exists, "the blocker has begun")
    many = [client.submit("test.record", {"log": str(note), "tag": "many"}, tenant="many") for _ in range(5)]
    few = client.submit("test.record", {"log": str(note), "tag": "few"}, tenant="few")
    gate.touch()
    for job in (*many, few):
        job.wait(30)
    order = [line.split()[1] for line in note.read_text().splitlines() if line.startswith("start")]
    assert order.index("few") <= 2


def test_submit_wakes_an_idle_pool(client: Client) -> None:
    """A submit is begun at once, not at the next poll (acceptance 63)."""
    client.submit("test.noop").wait(30)
    times = []
    for _ in range(5):
        began = time.monotonic()
        client.submit("test.noop").wait(30)
        times.append(time.monotonic() - began)
    assert min(times) < 0.5  # the poll is 1 s


def test_tenants_are_apart(client: Client) -> None:
    """A job of another tenant is NOT_FOUND for every verb (acceptance 51)."""
    job = client.submit("test.noop", hold=True)
    for call in (client.get, client.stop, client.release, client.wait, client.delete):
        with pytest.raises(JobNotFound):
            call(job.job_id, tenant="somebody-else")
    with pytest.raises(JobNotFound):
        list(client.watch(job.job_id, tenant="somebody-else"))
    assert job.refresh().status == "PENDING"
    assert list(client.list(tenant="somebody-else")) == []


def test_a_submit_that_waits_answers_the_end(server: Server) -> None:
    """SubmitJob with wait_timeout answers the job as it ended, and so does a repeated call."""
    spec = job_pb2.JobSpec(type="test.echo")
    spec.parameters["x"].int_value = 1
    request = pb.SubmitJobRequest(tenant=uuid.uuid4().hex, request_id="r1", spec=spec)
    request.wait_timeout.seconds = 30
    with grpc.insecure_channel(server.target) as channel:
        stub = JobServiceStub(channel)
        first, again = stub.SubmitJob(request), stub.SubmitJob(request)
        read = stub.GetJob(pb.GetJobRequest(tenant=request.tenant, job_id=first.job.job_id))
    assert first.job.status == job_pb2.JOB_STATUS_SUCCEEDED
    assert first.job == again.job == read.job
    assert (first.existing, again.existing) == (False, True)


def test_a_submit_that_waits_is_answered_in_time(server: Server, gate: Path) -> None:
    """A job that has not ended when the time is over, and a large one at once, is answered as it
    stands.
    """
    spec = job_pb2.JobSpec(type="test.report")
    spec.parameters["gate"].string_value = str(gate)
    request = pb.SubmitJobRequest(tenant=uuid.uuid4().hex, spec=spec)
    request.wait_timeout.nanos = 1_000_000
    with grpc.insecure_channel(server.target) as channel:
        stub = JobServiceStub(channel)
        assert not stub.SubmitJob(request).job.final
        request.wait_timeout.seconds = 60
        request.spec.type, request.hold = "test.echo", True
        request.spec.parameters["data"].bytes_value = b" " * (64 << 10)
        assert not stub.SubmitJob(request, timeout=30).job.final
        request.wait_timeout.seconds = -1
        with pytest.raises(grpc.RpcError) as refused:
            stub.SubmitJob(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    gate.touch()


def test_a_run_is_what_is_stored(client: Client) -> None:
    """What a run is told of its job, from its submit to its end, is what the history and the row
    say.
    """
    events: list[JobEvent] = []
    made: list[JobInfo] = []
    ended = client.run("test.report", {"total": 4}, on_submitted=made.append, on_event=events.append)
    assert ended == client.get(ended.job_id)
    assert [job.revision for job in made] == [1]
    history = [event for event in client.events(ended.job_id) if event.kind != "MESSAGE_LOGGED"]
    assert events == history[1:]
