"""grpc.health.v1, as balancers use it."""

import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.server import Server, until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_health_tells_that_the_server_drains(tmp_path: Path, gate: Path) -> None:
    """A watch of the health says SERVING, then NOT_SERVING as soon as the server drains; jobs go on meanwhile (failure case 29)."""
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
            assert {each.status for each in listed.values()} == {NOT_SERVING}
            assert health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
        gate.touch()
        assert server.wait() == 0
