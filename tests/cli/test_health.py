"""`headrace health`, as probes of containers use it."""

import signal
import socket
from pathlib import Path

import pytest
from cli.console import Script, environment

from support.server import Server, until

pytestmark = pytest.mark.slow


def test_a_server_that_serves_and_drains(tmp_path: Path) -> None:
    """SERVING is exit code 0; a server that drains is 6 with a sentence, though it is live (failure
    case 29).
    """
    gate, note = tmp_path / "gate", tmp_path / "note"
    with Server(tmp_path, drain_time=30) as server, server.client() as client:
        probe = Script(environment(HEADRACE_TARGET=server.target))
        assert probe("health") == "SERVING"
        client.submit("test.record", {"log": str(note), "gate": str(gate)})
        until(note.exists, "the job runs")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: client.server_info().draining, "the server drains")
        assert "The server says NOT_SERVING" in probe.error("health", code=6)
        assert probe("health", "--live") == "SERVING"
        gate.touch()
        assert server.wait() == 0
        assert "Nothing answers" in probe.error("health", code=6)
        assert "Nothing answers" in probe.error("health", "--live", code=6)


def test_a_server_that_waits_for_its_database(tmp_path: Path) -> None:
    """A server whose database is away is live and not serving: exit code 6 (failure case 7)."""
    server = Server(tmp_path, database_url="postgresql://headrace@127.0.0.1:1/jobs")
    server.launch()
    try:
        probe = Script(environment())
        until(lambda: server.logged("Trying again"), "it waits")
        until(
            lambda: "NOT_SERVING" in probe.error("health", "--target", server.target, code=6),
            "it says so",
        )
        assert probe("health", "--live", "--target", server.target) == "SERVING"
        server.stop()
    finally:
        server.close()


def test_nobody_answers(alone: Script) -> None:
    """A server that accepts and says nothing is exit code 6 too, within the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        assert target in alone.error("health", "--target", target, "--timeout", "300ms", code=6)
