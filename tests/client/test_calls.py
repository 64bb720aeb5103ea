"""Unary calls: what is sent, what is repeated, what is raised."""

import itertools
import threading
from datetime import timedelta
from typing import Any

import grpc
import pytest
from client.scripted import Connect, Failure, Hang, ScriptedServer, job

import headrace
from headrace import Client, errors
from headrace._transport.channel import Connection
from headrace.v1 import admin_service_pb2 as admin
from headrace.v1 import job_service_pb2 as pb

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE, text="scripted cut")


def test_a_submit_carries_the_client_s_tenant_and_a_request_id_of_its_own(
    client: Client, server: ScriptedServer
) -> None:
    """Each submit has another request_id, and the tenant given to the client unless the call names
    one.
    """
    server.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED"), existing=True))
    handle = client.submit("demo", {"n": 1})
    client.submit("demo", tenant="other", request_id="mine")
    client.submit("demo")
    first, second, third = server.requests["SubmitJob"]
    assert (first.tenant, second.tenant) == ("acme", "other")
    assert second.request_id == "mine"
    assert first.request_id
    assert first.request_id not in {second.request_id, third.request_id}
    assert (handle.job_id, handle.tenant, handle.existing) == ("j1", "acme", True)
    assert handle.info.status == "QUEUED"


def test_unavailable_is_repeated_with_the_same_request_id(client: Client, server: ScriptedServer) -> None:
    """A submit that met UNAVAILABLE, or a server that stopped, is sent again as it was, so that it
    makes one job.
    """
    server.on(
        "SubmitJob", UNAVAILABLE, Failure(grpc.StatusCode.CANCELLED), pb.SubmitJobResponse(job=job("QUEUED"))
    )
    client.submit("demo")
    sent = server.requests["SubmitJob"]
    assert len(sent) == 3
    assert len({request.SerializeToString(deterministic=True) for request in sent}) == 1


def test_unavailable_is_raised_when_the_time_is_over(connect: Connect, server: ScriptedServer) -> None:
    """A server that was seen and stays UNAVAILABLE is asked for as long as the call may take, then
    told of by name.
    """
    server.on("GetJob", UNAVAILABLE)
    with pytest.raises(errors.Unavailable, match=server.target):
        connect(server.target, timeout=1).get("j1")
    assert len(server.requests["GetJob"]) > 2


def test_a_submit_outlives_a_restart(connect: Connect, server: ScriptedServer) -> None:
    """A submit to a server that this client has seen goes on looking for it within its timeout."""
    client = connect(server.target)
    server.on("GetJob", pb.GetJobResponse(job=job()))
    client.get("j1")
    server.close()
    calls = getattr(client, "_inner", client)._calls
    given_up, pause, pauses = threading.Event(), calls._pause, itertools.count(1)

    def paused(delay: float) -> Any:
        if next(pauses) > 5:  # as often as an address is tried where nobody was ever seen
            given_up.set()
        return pause(delay)

    calls._pause = paused
    submitted: list[str] = []
    thread = threading.Thread(target=lambda: submitted.append(client.submit("demo").job_id))
    thread.start()
    assert given_up.wait(20)
    second = ScriptedServer(server.port)
    second.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED")))
    thread.join(20)
    second.close()
    assert submitted == ["j1"]


def test_overload_is_repeated_when_the_server_says_when(client: Client, server: ScriptedServer) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo is repeated after the delay."""
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=0.01)
    server.on("SubmitJob", full, full, pb.SubmitJobResponse(job=job("QUEUED")))
    client.submit("demo")
    assert len(server.requests["SubmitJob"]) == 3


def test_overload_is_raised_when_the_delay_does_not_fit_the_deadline(
    connect: Connect, server: ScriptedServer
) -> None:
    """A delay beyond the deadline is not waited for: Overloaded comes at once."""
    server.on("SubmitJob", Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=60))
    client = connect(server.target, timeout=20)
    with pytest.raises(errors.Overloaded) as raised:
        client.submit("demo")
    assert raised.value.retry_after == 60
    assert len(server.requests["SubmitJob"]) == 1


def test_overload_without_retry_info_is_raised_at_once(client: Client, server: ScriptedServer) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo is not repeated."""
    server.on("GetJob", Failure(grpc.StatusCode.RESOURCE_EXHAUSTED))
    with pytest.raises(errors.Overloaded):
        client.get("j1")
    assert len(server.requests["GetJob"]) == 1


def test_every_call_has_a_deadline(connect: Connect, server: ScriptedServer) -> None:
    """The deadline is the client's timeout, 30 s unless it says otherwise; waits come on top."""
    server.on("GetJob", pb.GetJobResponse(job=job()))
    server.on("WaitJob", pb.WaitJobResponse(job=job("SUCCEEDED")))
    server.on("StopJob", pb.StopJobResponse(job=job("ABORTED")))
    connect(server.target).get("j1")
    assert 25 < server.deadlines["GetJob"] <= 30.5
    client = connect(server.target, timeout=timedelta(seconds=10))
    client.get("j1")
    client.wait("j1", 20)
    client.stop("j1", wait_timeout=40)
    assert 5 < server.deadlines["GetJob"] <= 10.5
    assert 25 < server.deadlines["WaitJob"] <= 30.5
    assert 45 < server.deadlines["StopJob"] <= 50.5


def test_a_server_that_does_not_answer_meets_the_deadline(connect: Connect, server: ScriptedServer) -> None:
    """DeadlineExceeded is raised, a TimeoutError too, when the client's timeout is over."""
    server.on("GetJob", Hang())
    with pytest.raises(TimeoutError) as raised:
        connect(server.target, timeout=0.2).get("j1")
    assert isinstance(raised.value, errors.DeadlineExceeded)


@pytest.mark.slow
def test_nobody_there(connect: Connect, server: ScriptedServer) -> None:
    """A target where nobody listens is told of with its address and what to do."""
    server.close()
    with pytest.raises(errors.Unavailable, match="is it running") as raised:
        connect(server.target).get("j1")
    assert server.target in str(raised.value)
    assert "headrace dev" in str(raised.value)


def test_wait_for_ready_waits_until_the_deadline(connect: Connect, server: ScriptedServer) -> None:
    """With wait_for_ready a missing server is waited for, until the deadline."""
    server.close()
    with pytest.raises(errors.DeadlineExceeded):
        connect(server.target, wait_for_ready=True, timeout=0.3).get("j1")


def test_a_request_over_the_limit_is_not_sent(client: Client, server: ScriptedServer) -> None:
    """A submit over 4 MiB is PayloadTooLarge."""
    server.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED")))
    with pytest.raises(errors.PayloadTooLarge):
        client.submit("demo", {"blob": b"x" * (5 * 1024 * 1024)})
    assert not server.requests["SubmitJob"]


def test_the_user_agent_names_the_client(client: Client, server: ScriptedServer) -> None:
    """The server sees headrace-python and the version."""
    server.on("GetServerInfo", admin.GetServerInfoResponse(version="9"))
    assert client.server_info().version == "9"
    assert f"headrace-python/{headrace.__version__}" in server.metadata["user-agent"]


def test_the_target_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins, then HEADRACE_TARGET, then 127.0.0.1:50551."""
    monkeypatch.setenv("HEADRACE_TARGET", "elsewhere:1")
    with headrace.Client("here:2") as given, headrace.Client() as inherited:
        assert (given.target, inherited.target) == ("here:2", "elsewhere:1")
    monkeypatch.delenv("HEADRACE_TARGET")
    with headrace.Client() as usual:
        assert usual.target == "127.0.0.1:50551"


def test_credentials_secure_the_channel(connect: Connect) -> None:
    """With credentials the channel is a secure one; TLS is one kind of them."""
    server = ScriptedServer(credentials=grpc.local_server_credentials())
    server.on("GetJob", pb.GetJobResponse(job=job()))
    assert connect(server.target, credentials=grpc.local_channel_credentials()).get("j1").job_id == "j1"
    server.close()


def test_closing_ends_calls_and_later_ones(client: Client, server: ScriptedServer) -> None:
    """A call under way, and one made later, end with Cancelled when the client is closed."""
    reached = threading.Event()

    def hang(_request: Any, _context: Any) -> Hang:
        reached.set()
        return Hang()

    server.on("GetJob", hang)
    raised = []

    def call() -> None:
        try:
            client.get("j1")
        except errors.HeadraceError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert reached.wait(10)
    client.close()
    thread.join(10)
    assert [type(error) for error in raised] == [errors.Cancelled]
    with pytest.raises(errors.Cancelled, match="closed"):
        client.get("j1")


@pytest.mark.slow
def test_wait_asks_until_the_job_has_ended(client: Client, server: ScriptedServer) -> None:
    """WaitJob is repeated while the job is not final, and through a lost connection."""
    server.on(
        "WaitJob",
        pb.WaitJobResponse(job=job("QUEUED")),
        *[UNAVAILABLE] * 6,
        pb.WaitJobResponse(job=job("RUNNING")),
        pb.WaitJobResponse(job=job("SUCCEEDED")),
    )
    assert client.wait("j1").status == "SUCCEEDED"
    assert all(request.wait_timeout.seconds == 60 for request in server.requests["WaitJob"])


def test_wait_ends_with_its_timeout(client: Client, server: ScriptedServer) -> None:
    """A job that has not ended in time is DeadlineExceeded; a timeout of 0 asks once."""
    server.on("WaitJob", pb.WaitJobResponse(job=job("RUNNING")))
    with pytest.raises(errors.DeadlineExceeded, match="RUNNING"):
        client.wait("j1", timeout=0)
    assert len(server.requests["WaitJob"]) == 1
    assert server.requests["WaitJob"][0].wait_timeout.ToNanoseconds() == 0


def test_wait_outlives_a_restart_that_began_before_it(connect: Connect, server: ScriptedServer) -> None:
    """A server that this client has seen is waited for, even if it is away when the wait begins."""
    client = connect(server.target)
    server.on("GetJob", pb.GetJobResponse(job=job()))
    client.get("j1")
    server.close()
    begun, ended = threading.Event(), []

    def wait() -> None:
        begun.set()
        ended.append(client.wait("j1").status)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait(10)
    second = ScriptedServer(server.port)
    second.on("WaitJob", pb.WaitJobResponse(job=job("SUCCEEDED")))
    thread.join(30)
    second.close()
    assert ended == ["SUCCEEDED"]


@pytest.mark.slow
def test_wait_does_not_look_for_a_server_that_was_never_there(
    connect: Connect, server: ScriptedServer
) -> None:
    """A wait at an address where nobody was ever seen raises what its first call met; so does a
    final error.
    """
    server.on("WaitJob", Failure(grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"))
    with pytest.raises(errors.JobNotFound):
        connect(server.target).wait("j1")
    server.close()
    with pytest.raises(errors.Unavailable, match="is it running"):
        connect(server.target).wait("j1")


@pytest.mark.parametrize(
    ("target", "several"),
    [
        ("127.0.0.1:50551", False),
        ("jobs.internal:50551", False),
        ("ipv4:10.0.0.1:50551", False),
        ("ipv4:10.0.0.1:50551,10.0.0.2:50551", True),
        ("dns:///jobs.internal:50551", True),
    ],
)
def test_calls_take_turns_among_several_servers(target: str, several: bool) -> None:
    """A target that may name several servers has its calls take turns; one that has gone is looked
    for every 0.3 s.
    """
    options = dict(Connection.to(target, 1.0).options())
    assert ("round_robin" in str(options.get("grpc.service_config"))) is several
    assert options["grpc.max_reconnect_backoff_ms"] == 300
