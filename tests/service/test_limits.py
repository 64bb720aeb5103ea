"""Every limit: what is over it is refused with a sentence that names the setting, counted, and
shown by GetServerInfo.
"""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from headrace import Client
from headrace.errors import (
    DeadlineExceeded,
    InvalidArgument,
    JobNotFound,
    Overloaded,
    PayloadTooLarge,
)
from headrace.info import Snapshot
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from support.disk import small_disk
from support.refusals import refusal
from support.resident import resident
from support.server import Server, until
from support.unread import NotReading

pytestmark = pytest.mark.slow

MIB = 1 << 20


@contextmanager
def impatient(server: Server) -> Iterator[Client]:
    """A client that hears a refusal at once: its calls have no time for another try."""
    with server.client(timeout=0.4) as client:
        yield client


def test_waiting_jobs(tmp_path: Path) -> None:
    """Beyond max_waiting_jobs a submit is QUEUE_FULL with RetryInfo; a repeated one and a restart
    count rightly.
    """
    with Server(tmp_path, max_waiting_jobs=3, workers=0) as server, impatient(server) as client:
        jobs = [client.submit("test.noop", hold=number == 0, request_id=str(number)) for number in range(3)]
        with pytest.raises(Overloaded, match="max_waiting_jobs") as full:
            client.submit("test.noop")
        assert full.value.reason == "QUEUE_FULL"
        assert full.value.retry_after is not None
        assert client.submit("test.noop", request_id="1").existing
        jobs[0].stop()
        client.submit("test.noop", request_id="4")
        server.restart()
        with pytest.raises(Overloaded):
            client.submit("test.noop")
        info = client.server_info()
        assert (info.limits["waiting_jobs"], info.counters["waiting_jobs"]) == (3, 3)
        assert info.counters["refused_queue_full_total"] >= 1
        jobs[1].stop()
        jobs[1].delete()
        assert client.submit("test.noop").refresh().status == "QUEUED"


def test_the_client_waits_for_room(tmp_path: Path, gate: Path) -> None:
    """A submit to a full queue goes through as soon as there is room: the client does what
    RetryInfo says.
    """
    with Server(tmp_path, max_waiting_jobs=1, workers=1) as server, server.client() as client:
        client.submit("test.record", {"log": str(tmp_path / "log"), "gate": str(gate)})
        until(lambda: client.count(statuses=["RUNNING"]).total == 1, "the first job runs")
        client.submit("test.noop")
        late = threading.Timer(0.5, gate.touch)
        late.start()
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"
        late.join()


def test_watchers(tmp_path: Path) -> None:
    """Beyond max_watchers a watch, a wait, a run, and a stop or submit that waits are refused and
    nothing is done for them.
    """
    with (
        Server(tmp_path, max_watchers=2, workers=0) as server,
        impatient(server) as client,
        ExitStack() as open_,
    ):
        job = client.submit("test.noop", hold=True)
        for _ in range(2):
            watch = client.watch(job.job_id)
            open_.callback(watch.close)
            assert isinstance(next(watch), Snapshot)
        stub = job_service_pb2_grpc.JobServiceStub(open_.enter_context(grpc.insecure_channel(server.target)))
        spec = job_pb2.JobSpec(type="test.noop", description="not submitted")
        for call in (
            lambda: next(stub.WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id))),
            lambda: next(stub.RunJob(job_service_pb2.RunJobRequest(spec=spec))),
            lambda: stub.WaitJob(job_service_pb2.WaitJobRequest(job_id=job.job_id)),
            lambda: stub.SubmitJob(
                job_service_pb2.SubmitJobRequest(spec=spec, wait_timeout=Duration(seconds=9))
            ),
        ):
            with pytest.raises(grpc.RpcError) as error:
                call()
            assert refused(error.value) == ("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHERS", True)
        with pytest.raises(Overloaded, match="max_watchers"):
            job.stop(wait_timeout=5)
        assert client.count().total == 1
        assert job.refresh().stop is None
        counters = client.server_info().counters
        assert (counters["watchers"], counters["streams"]) == (2, 2)
        assert counters["refused_too_many_watchers_total"] >= 5
        open_.close()
        until(lambda: client.server_info().counters["watchers"] == 0, "both watches are freed")
        with closing(client.watch(job.job_id)) as watch:
            next(watch)


def test_streams_of_a_connection(tmp_path: Path) -> None:
    """Beyond max_streams_per_connection a stream is refused, on that connection alone."""
    with Server(tmp_path, max_streams_per_connection=2, workers=0) as server, ExitStack() as open_:
        stubs = [
            job_service_pb2_grpc.JobServiceStub(
                open_.enter_context(
                    grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)])
                )
            )
            for _ in range(2)
        ]
        submitted = stubs[0].SubmitJob(
            job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(type="test.noop"), hold=True)
        )
        request = job_service_pb2.WatchJobRequest(job_id=submitted.job.job_id)
        streams = [stubs[0].WatchJob(request) for _ in range(2)]
        for stream in streams:
            next(stream)
        with pytest.raises(grpc.RpcError, match="max_streams_per_connection") as error:
            next(stubs[0].WatchJob(request))
        assert refused(error.value) == ("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHERS", True)
        other = stubs[1].WatchJob(request)
        next(other)
        for stream in (*streams, other):
            stream.cancel()


def refused(error: grpc.RpcError) -> tuple[str, str, bool]:
    """Code and reason of an answer, and whether it says when to come again."""
    found = refusal(error)
    return found.code.name, found.reason, found.retry_ms > 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another process's write lock on the database: calls that write have to wait."""
    with closing(sqlite3.connect(folder / "headrace.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_calls(tmp_path: Path) -> None:
    """Beyond max_calls a call is TOO_MANY_CALLS at once; health, GetServerInfo and calls that wait
    are let in.
    """
    with (
        Server(tmp_path, max_calls=3, workers=0) as server,
        server.client(timeout=20) as client,
        ExitStack() as open_,
    ):
        stub = job_service_pb2_grpc.JobServiceStub(open_.enter_context(grpc.insecure_channel(server.target)))
        held = client.submit("test.noop", hold=True)
        wait = job_service_pb2.WaitJobRequest(job_id=held.job_id)
        waits = [stub.WaitJob.future(wait) for _ in range(5)]
        until(lambda: client.server_info().counters["watchers"] == 5, "five calls wait")
        submit = job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(type="test.noop"), hold=True)
        with locked(tmp_path):
            calls = [stub.SubmitJob.future(submit) for _ in range(3)]
            until(lambda: client.server_info().counters["calls"] == 8, "three calls are worked on")
            with pytest.raises(grpc.RpcError, match="max_calls") as error:
                stub.SubmitJob(submit)
            assert refused(error.value) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", True)
        for call in calls:
            assert call.result(20).job.job_id
        assert stub.SubmitJob(submit).job.job_id
        held.stop()
        for call in waits:
            assert call.result(20).job.final


def test_calls_by_size(tmp_path: Path) -> None:
    """Beyond max_calls_mib of requests a call is TOO_MANY_CALLS; one that is larger alone is
    served.
    """
    with Server(tmp_path, max_calls_mib=1, workers=0) as server, ExitStack() as open_:
        stub = job_service_pb2_grpc.JobServiceStub(open_.enter_context(grpc.insecure_channel(server.target)))
        spec = job_pb2.JobSpec(type="test.echo")
        spec.parameters["x"].string_value = "x" * 700_000
        submit = job_service_pb2.SubmitJobRequest(spec=spec, hold=True)
        with server.client() as client, locked(tmp_path):
            first = stub.SubmitJob.future(submit)
            until(lambda: client.server_info().counters["calls_bytes"] > 700_000, "the first is worked on")
            with pytest.raises(grpc.RpcError, match="max_calls_mib"):
                stub.SubmitJob(submit)
        assert first.result(20).job.job_id
        spec.parameters["x"].string_value = "x" * 1_048_000
        spec.description = "y" * 4096
        assert stub.SubmitJob(submit).job.job_id


@pytest.mark.parametrize("method", ["GetJob", "WatchJob", "StopJob"])
def test_unread_answers(tmp_path: Path, method: str) -> None:
    """What a client does not read is bounded, counted, and given back when its connection is cut;
    others are served meanwhile.
    """
    settings = {"max_unread_mib_per_connection": 8, "max_unread_time": 3, "workers": 0}
    with Server(tmp_path, **settings) as server, server.client() as client:
        job = client.submit("test.echo", {"x": "x" * 900_000}, hold=True)
        for _ in range(20):
            client.get(job.job_id)
        before = resident(server.process.pid)
        request = job_service_pb2.GetJobRequest(job_id=job.job_id).SerializeToString()
        with NotReading(server.target) as other:
            other.ask(f"/headrace.v1.JobService/{method}", request, times=150)
            until(lambda: client.server_info().counters["connections_with_unread"], "it is counted")
            most = 0
            while not other.cut.is_set():
                most = max(most, client.server_info().counters["unread_bytes_of_one_connection"])
                assert client.get(job.job_id).job_id == job.job_id
            assert 7 * MIB < most <= 8 * MIB
        until(lambda: client.server_info().counters["connections_with_unread"] == 0, "it is freed")
        counters = client.server_info().counters
        assert (counters["connections_cut_total"], counters["unread_bytes"]) == (1, 0)
        assert counters["refused_too_many_calls_total"] > 0
        assert server.logged("has not read its answers")
        assert not [entry for entry in server.log if entry["level"] == "error"]
        until(lambda: resident(server.process.pid) <= 1.2 * before, "the memory is given back")


@pytest.mark.parametrize("method", ["JobService/GetJob", "AdminService/GetServerInfo"])
def test_many_small_unread_answers(tmp_path: Path, method: str) -> None:
    """What gRPC keeps of each unread call counts with its answer, however small: it is bounded, for
    AdminService too, and the connection is cut.
    """
    settings = {"max_unread_mib_per_connection": 4, "max_unread_time": 2, "workers": 0}
    with Server(tmp_path, **settings) as server, server.client() as client:
        job = client.submit("test.noop", hold=True)
        request = job_service_pb2.GetJobRequest(job_id=job.job_id).SerializeToString()
        with NotReading(server.target) as other:
            # Some hundred small ones go into the first 64 KiB, and are as good as read.
            other.ask(f"/headrace.v1.{method}", request if "GetJob" in method else b"", times=900)
            until(other.cut.is_set, "it is cut")
        until(lambda: client.server_info().counters["connections_with_unread"] == 0, "it is freed")
        counters = client.server_info().counters
        assert (counters["connections_cut_total"], counters["unread_bytes"]) == (1, 0)
        assert counters["refused_too_many_calls_total"] > 0


def test_unread_answers_of_all(tmp_path: Path) -> None:
    """Beyond max_unread_mib in all a call is TOO_MANY_CALLS, whoever asks; GetServerInfo is
    answered, and all is well when they have gone.
    """
    with Server(tmp_path, max_unread_mib=4, workers=0) as server, impatient(server) as client:
        job = client.submit("test.echo", {"x": "x" * 900_000}, hold=True)
        request = job_service_pb2.GetJobRequest(job_id=job.job_id).SerializeToString()
        with NotReading(server.target) as other:
            other.ask("/headrace.v1.JobService/GetJob", request, times=10)
            until(lambda: client.server_info().counters["unread_bytes"] > 3 * MIB, "much is unread")
            with pytest.raises(Overloaded, match="max_unread_mib") as refusal_:
                client.get(job.job_id)
            assert refusal_.value.reason == "TOO_MANY_CALLS"
        until(lambda: client.server_info().counters["unread_bytes"] == 0, "it is freed")
        assert client.get(job.job_id).job_id == job.job_id


def test_call_time(tmp_path: Path) -> None:
    """A call over max_call_time is given up: DEADLINE_EXCEEDED, with a sentence that tells what may
    have happened.
    """
    with Server(tmp_path, max_call_time=2, workers=0) as server, server.client() as client:
        client.submit("test.noop", hold=True)
        with locked(tmp_path), pytest.raises(DeadlineExceeded, match="max_call_time") as error:
            client.submit("test.noop", hold=True)
        assert error.value.reason == "CALL_TOO_LONG"
        until(lambda: client.count().total == 2, "what was asked for has happened")


def test_sizes(tmp_path: Path) -> None:
    """Messages, parameters, results and pages have settings, and what is over them is named
    (failure case 24).
    """
    settings = {"max_message_kib": 2200, "max_parameters_kib": 64, "max_results_kib": 64, "max_page_size": 2}
    with Server(tmp_path, **settings) as server, server.client() as client:
        with pytest.raises(InvalidArgument, match=r"spec\.parameters"):
            client.submit("test.echo", {"x": "x" * 65 * 1024})
        with pytest.raises(PayloadTooLarge):
            client.submit("test.echo", {"x": "x" * 2300 * 1024})
        error = client.submit("test.large", {"size": 65 * 1024}).wait(30).error
        assert error is not None
        assert error.kind == "RESULT_TOO_LARGE"
        assert client.submit("test.large", {"size": 40 * 1024}).wait(30).status == "SUCCEEDED"
        assert len(client.list_page(page_size=1000).items) == 2
        assert len(list(client.list())) == 2
        shown = client.server_info().limits
        assert (shown["message_bytes"], shown["parameters_bytes"]) == (2200 << 10, 64 << 10)
        assert (shown["results_bytes"], shown["page_size"]) == (64 << 10, 2)


def test_settings_that_do_not_fit_each_other(tmp_path: Path) -> None:
    """A job must fit into a message: settings under which some would not are refused in a sentence."""
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "headrace_server",
            "serve",
            "--max-results-kib",
            "4096",
            "--database-url",
            f"sqlite:///{tmp_path}/x.db",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "max_message_kib" in run.stderr
    assert not list(tmp_path.iterdir())


def test_disk_space(tmp_path: Path) -> None:
    """On a full disk jobs that need a workspace wait and no others; the log warns first; room lets
    them go on (acceptance 65).
    """
    settings = {"workspace": tmp_path / "disk/jobs", "warn_free_disk_mib": 6, "min_free_disk_mib": 3}
    with (
        small_disk(tmp_path / "disk", 8 * 1024) as disk,
        Server(tmp_path, workers=1, **settings) as server,
        server.client() as client,
    ):
        assert client.submit("test.workspace").wait(30).status == "SUCCEEDED"
        assert not server.logged("disk")
        (disk.place / "some").write_bytes(b"x" * 3 * MIB)
        until(lambda: server.logged("disk space is short"), "the log warns")
        assert client.submit("test.workspace").wait(30).status == "SUCCEEDED"
        (disk.place / "more").write_bytes(b"x" * 3 * MIB)
        until(lambda: server.logged("no job that needs a workspace is started"), "the log says it is full")
        waits = client.submit("test.workspace")
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"
        assert waits.refresh().status == "QUEUED"
        assert client.server_info().counters["free_disk_bytes"] < 3 * MIB
        assert {one.type for one in client.types() if one.workspace} == {
            "test.litter",
            "test.workspace",
        }
        (disk.place / "more").unlink()
        assert waits.wait(30).status == "SUCCEEDED"
        assert len(server.logged("disk space is short")) == 2


@pytest.mark.deep
@pytest.mark.parametrize("what", ["progress", "messages", "stdout", "results"])
def test_a_flood_harms_nobody(tmp_path: Path, what: str) -> None:
    """A job that floods is held back itself: jobs beside it run, its stop is true, memory stays
    flat (failure case 28).
    """
    with Server(tmp_path, workers=2, max_messages_per_attempt=500) as server, server.client() as client:
        client.submit("test.noop").wait(30)
        flood = client.submit("test.flood_for_ever", {"what": what})
        until(lambda: flood.refresh().status == "RUNNING", "the flood runs")
        for _ in range(100):
            client.submit("test.noop").result(10)
        before = resident(server.process.pid)
        for _ in range(300):
            client.submit("test.noop").result(10)
        grown = resident(server.process.pid) - before
        stopped = flood.stop(grace_period=0.5, wait_timeout=10)
        assert stopped.outcome == "STOPPED"
        print(
            f"{what}: grew by {grown >> 10} KiB, held back {client.server_info().counters['runs_held_back_total']} times"
        )
        assert grown < 32 * MIB
        events = list(flood.events())
        kept = sum(event.kind == "MESSAGE_LOGGED" for event in events)
        assert kept <= 500
        if what in ("messages", "stdout"):
            assert kept == 500
            assert any(event.kind == "MESSAGES_DROPPED" for event in events)


def test_info_shows_every_limit(client: Client) -> None:
    """GetServerInfo names each limit and counts what was refused (acceptance 88)."""
    with suppress(JobNotFound):
        client.get("none")
    info = client.server_info()
    assert {
        "message_bytes", "parameters_bytes", "results_bytes", "output_bytes", "messages_per_attempt", "watchers",
        "streams_per_connection", "waiting_jobs", "page_size", "call_seconds", "calls", "min_free_disk_bytes",
    } <= set(info.limits)  # fmt: skip
    assert info.counters["refused_job_not_found_total"] >= 1
    for name in ("max_watchers", "max_waiting_jobs", "min_free_disk_mib"):
        assert name in info.settings
