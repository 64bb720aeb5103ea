"""grpc.health.v1, as balancers use it."""

import signal
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headrace.errors import DeadlineExceeded, Unavailable
from support.figures import guard
from support.server import Server, until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
FOLLOW = ("", "headrace.v1.JobService", "headrace.v1.AdminService")


def test_health_tells_that_the_server_drains(tmp_path: Path, gate: Path) -> None:
    """A watch of the health says SERVING, then NOT_SERVING as soon as the server drains; jobs go on
    meanwhile (failure case 29).
    """
    with Server(tmp_path, drain_time=30) as server, server.client() as client:
        job = client.submit("test.record", {"log": str(tmp_path / "note"), "gate": str(gate)})
        until(lambda: job.refresh().status == "RUNNING", "the job runs")
        with grpc.insecure_channel(server.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            assert next(health.Watch(health_pb2.HealthCheckRequest(service="nobody"))).status == UNKNOWN
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == SERVING
            server.process.send_signal(signal.SIGTERM)
            assert next(watch).status == NOT_SERVING
            listed = health.List(health_pb2.HealthListRequest()).statuses
            assert listed.pop("live").status == SERVING
            assert {each.status for each in listed.values()} == {NOT_SERVING}
            assert health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
        gate.touch()
        assert server.wait() == 0


@pytest.mark.slow
def test_health_follows_the_database(tmp_path: Path, note: Path, gate: Path) -> None:
    """Without its database a server says NOT_SERVING within 2 s, is live, logs why calls are
    UNAVAILABLE, and its runs go on; SERVING again when calls are answered.
    """
    file = tmp_path / "headrace.db"
    with Server(tmp_path) as server, server.client(timeout=0.4) as client:
        job = client.submit("test.record", {"log": str(note), "gate": str(gate)})
        until(note.exists, "the job runs")
        with grpc.insecure_channel(server.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watches = [
                health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=30) for name in FOLLOW
            ]
            assert [next(watch).status for watch in watches] == [SERVING] * len(FOLLOW)
            aside, away = file.rename(tmp_path / "aside"), time.monotonic()
            assert [next(watch).status for watch in watches] == [NOT_SERVING] * len(FOLLOW)
            assert time.monotonic() - away < guard(2)
            assert health.Check(health_pb2.HealthCheckRequest(service="live")).status == SERVING
            with pytest.raises((Unavailable, DeadlineExceeded)):
                client.get(job.job_id)
            until(lambda: server.logged("calls are answered UNAVAILABLE"), "the log says so")
            assert "was deleted or replaced" in server.logged("calls are answered UNAVAILABLE")[0]["event"]
            assert client.server_info().counters["database_available"] == 0
            aside.rename(file)
            assert [next(watch).status for watch in watches] == [SERVING] * len(FOLLOW)
        gate.touch()
        assert job.wait(30).status == "SUCCEEDED"
        assert "was deleted or replaced" in server.logged("health says NOT_SERVING")[0]["event"]
        assert len(server.logged("health says SERVING")) == 1
