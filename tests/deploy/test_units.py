"""deploy/compose.yaml and deploy/headrace.service: valid, and in step with the server's own times."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_server.config import Settings
from support.server import COMMAND, Server, until

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy"
SPARE = 28
"""Seconds that a server may take beside its drain time, if its database is away: a last claim, the
last writes, the ends of streams, events.
"""


def tool(name: str) -> str:
    """A program of the system."""
    found = shutil.which(name)
    assert found, f"The tests need {name}: `make test-tools` installs it."
    return found


def compose() -> Any:
    """The compose file as data."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def unit() -> dict[str, list[str]]:
    """The lines of the unit: name -> values."""
    lines: dict[str, list[str]] = {}
    for line in (DEPLOY / "headrace.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            lines.setdefault(name, []).append(value)
    return lines


def settings_of(environment: dict[str, str]) -> Settings:
    """The settings of an environment."""
    given = {name.removeprefix("HEADRACE_").lower(): text for name, text in environment.items()}
    return Settings(**{name: text for name, text in given.items() if name in Settings.model_fields})  # type: ignore[arg-type] # texts are read


def test_compose_is_valid() -> None:
    """The file keeps to the schema of the Compose specification."""
    subprocess.run(
        [
            sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
            DEPLOY / "compose.yaml",
        ],
        check=True,
    )  # fmt: skip


def test_compose_says_what_the_server_takes() -> None:
    """Two instances share one PostgreSQL and one RabbitMQ with settings that exist, are open to
    nobody beyond this machine, and have time to drain.
    """
    services = compose()["services"]
    assert set(services) == {"database", "broker", "one", "two"}
    for name in ("one", "two"):
        service = services[name]
        known = {f"HEADRACE_{setting.upper()}" for setting in Settings.model_fields}
        assert {key for key in service["environment"] if key.startswith("HEADRACE_")} <= known
        settings = settings_of(service["environment"])
        assert settings.shared
        assert settings.brokers
        assert settings.insecure
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert int(service["stop_grace_period"].removesuffix("s")) > settings.drain_time + SPARE
        assert service["healthcheck"]["test"] == ["CMD", "headrace", "health", "--live"]


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """Systemd finds nothing to say about the unit, and calls its exposure OK."""
    own = tmp_path / "headrace.service"
    script = Path(sys.executable).parent / "headrace"
    own.write_text(
        (DEPLOY / "headrace.service").read_text().replace("/opt/headrace/bin/headrace", str(script))
    )
    analyze = tool("systemd-analyze")
    verified = subprocess.run(
        [analyze, "verify", "--man=no", own], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", "--threshold=40", own],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout


def test_the_unit_says_what_the_server_needs() -> None:
    """It has time to drain, SIGTERM reaches the server alone, a killed worker ends no service, a
    bad setting is not tried again.
    """
    lines = unit()
    assert int(lines["TimeoutStopSec"][0]) > Settings().drain_time + SPARE
    assert lines["KillMode"] == ["mixed"]
    assert lines["OOMPolicy"] == ["continue"]
    assert lines["RestartPreventExitStatus"] == ["2"]
    environment = dict(pair.split("=", 1) for pair in lines["Environment"])
    assert settings_of(environment).log_format == "json"
    assert shlex.split(lines["ExecStart"][0])[1:] == ["serve"]


def test_the_filter_lets_everything_through_that_is_called(tmp_path: Path) -> None:
    """Every system call of a server, its supervisor and its workers, with jobs that are run,
    stopped and killed, is in the unit's filter.
    """
    listed = subprocess.run(
        [tool("systemd-analyze"), "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    ).stdout
    groups = {
        block.split("\n", 1)[0]: set(re.findall(r"^    ([@\w-]+)", block, re.MULTILINE))
        for block in re.split(r"^(?=@)", listed, flags=re.MULTILINE)
        if block.startswith("@")
    }

    def members(name: str) -> set[str]:
        inner = groups[name]
        return {one for one in inner if one[0] != "@"}.union(
            *(members(one) for one in inner if one[0] == "@")
        )

    calls = tmp_path / "calls"
    tracer = [tool("strace"), "-f", "-qq", "-c", "-S", "name", "-U", "name", "-o", str(calls)]
    server = Server(tmp_path, command=[*tracer, *COMMAND], limit=90).start()
    try:
        with server.client() as client:
            assert client.submit("test.echo", {"n": 1}).wait(60).status == "SUCCEEDED"
            client.submit("test.workspace").wait(60)
            started = tmp_path / "started"
            stubborn = client.submit(
                "test.stubborn", {"started": str(started), "grandchild": str(tmp_path / "child")}
            )
            until(started.exists, "the job runs")
            stubborn.stop(grace_period=0, wait_timeout=60)
            client.submit("test.die", {"how": "kill"}).wait(60)
            pid = int(client.server_info().instance.rsplit("-", 2)[1])
        os.kill(pid, signal.SIGTERM)  # its tracer would not pass it on
        server.wait()
        made = {line for line in calls.read_text().split() if re.fullmatch(r"[a-z]\w*", line)}
    finally:
        server.close()
    assert len(made) > 50
    assert made - members("@system-service") == {"syscall", "total"}  # the table's own words
