"""Every method is called with everything that a caller could send, and some of what nobody would."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headrace.v1 import job_service_pb2, job_service_pb2_grpc
from support.figures import figure, seed
from support.fuzz import METHODS
from support.fuzz_calls import Fuzz, Outcome
from support.fuzz_faults import COMMAND, UNTOLD
from support.resident import resident
from support.server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(300, 7200))]

SHOWN = 5
GROWTH = 64 << 20
"""Bytes that the second half of a run may add: caches fill, and then no more."""


def assert_none(outcome: Outcome) -> None:
    """Fail with what went wrong."""
    failures = "\n".join(islice(outcome.failures, SHOWN))
    assert not outcome.failures, f"{len(outcome.failures)} of {outcome.sent} went wrong:\n{failures}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose streams say soon that they live."""
    with Server(tmp_path, heartbeat_interval=0.2) as running:
        yield running


async def test_nothing_that_a_caller_sends_breaks_the_server(server: Server) -> None:
    """Random bytes, mutated and hostile requests are answered, never by INTERNAL, UNKNOWN or
    silence (failure cases 24, 25, 26).
    """
    count = figure(20_000, 1_000_000)
    pid = server.process.pid
    fuzz = Fuzz(server.target, seed())
    await fuzz.run(range(count // 2))
    half = resident(pid)
    outcome = await fuzz.run(range(count // 2, count))
    grown = resident(pid) - half
    print(f"{outcome.sent} inputs, {outcome.share:.0%} accepted; {dict(outcome.codes)}")
    print(f"server: {resident(pid) >> 20} MiB, of which the second half of the run added {grown >> 10} KiB")
    assert_none(outcome)
    assert outcome.sent == count
    assert outcome.share > 0.2, "too few of the inputs were valid"
    assert outcome.accepted.keys() == {method.name for method in METHODS.values()}, (
        "a method accepted nothing"
    )
    assert grown < GROWTH
    with grpc.insecure_channel(server.target) as channel, server.client() as client:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        for gate in list(client.gates()):  # some of the inputs have paused and limited what there is
            client.update_gate(
                gate.scope, gate.name, paused=False, max_running=None, max_running_per_owner=None
            )
        assert client.submit("test.echo", {"x": 1}, priority=1000).result(60) == {"x": 1}
        until(lambda: client.server_info().counters["watchers"] == 0, "no stream is left")
    assert server.process.pid == pid
    assert server.process.poll() is None
    assert not [entry for entry in server.log if entry.get("level") in ("error", "critical")]


async def test_an_unexpected_error_is_internal_and_counted(tmp_path: Path) -> None:
    """A bug is INTERNAL with an error id and no text, the id finds the traceback in the log, and
    the fuzz notices.
    """
    with Server(tmp_path, command=COMMAND, heartbeat_interval=0.2) as server:
        with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as error:
            job_service_pb2_grpc.JobServiceStub(channel).CountJobs(job_service_pb2.CountJobsRequest())
        outcome = await Fuzz(server.target, seed()).run(range(400))
    assert isinstance(error.value, grpc.Call)
    assert error.value.code() is grpc.StatusCode.INTERNAL
    report = error.value.details() or ""
    assert UNTOLD not in f"{report} {error.value.trailing_metadata()}"
    [entry] = [entry for entry in server.log if entry.get("error_id") and entry["error_id"] in report]
    assert "Traceback" in entry["exception"]
    assert UNTOLD in entry["exception"]
    assert outcome.failures, "the fuzz did not notice"
    assert all("INTERNAL" in failure and "CountJobs" in failure for failure in outcome.failures), (
        outcome.failures[0]
    )
    assert outcome.codes["INTERNAL"] == len(outcome.failures)
