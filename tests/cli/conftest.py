"""A server with the example jobs, and the headrace script to call it with."""

import re
import select
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.console import LIMIT, SCRIPT, Script, environment

from headrace import Client


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the example jobs."""
    folder = tmp_path_factory.mktemp("server")
    words = ["dev", "--jobs", "example_jobs.files", "--jobs", "example_jobs.image", "--jobs", "support.jobs"]
    words += [
        "--workers",
        "2",
        "--address",
        "127.0.0.1:0",
        "--database-url",
        f"sqlite:///{folder}/headrace.db",
    ]
    words += ["--workspace", str(folder / "workspaces"), "--drain-time", "0"]
    log = folder / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen([*SCRIPT, *words], env=environment(), stdout=stream, stderr=stream) as server,
    ):
        try:
            end = time.monotonic() + LIMIT
            while (found := re.search(r"^Headrace listens on (\S+),", log.read_text(), re.MULTILINE)) is None:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                select.select([], [], [], 0.05)
            yield found[1]
        finally:
            server.terminate()
            server.wait(LIMIT)


@pytest.fixture
def headrace(address: str) -> Iterator[Script]:
    """The script, for a tenant of the test's own on the server.

    Nothing of it runs on: that would take a core from all that follow.
    """
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    yield Script(environment(HEADRACE_TARGET=address, HEADRACE_TENANT=tenant))
    with Client(address, tenant=tenant) as client:
        for job in client.list(statuses=["QUEUED", "TO_BE_RUN", "RUNNING"]):
            client.stop(job.job_id, grace_period=0, wait_timeout=20)


@pytest.fixture
def alone() -> Script:
    """The script, without any server."""
    return Script(environment(HEADRACE_TARGET="127.0.0.1:1"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory tree of ten files."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text(str(number) * 1000)
    return folder
