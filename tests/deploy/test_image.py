"""deploy/Dockerfile, carried out step by step in a file system of its own, and what it starts."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from headrace import Client
from support import image, ports

pytestmark = [
    pytest.mark.deep,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="the steps are those of root"),
]

ROOT = Path(__file__).parents[2]


@contextmanager
def running(
    made: image.Image, folder: Path, **environment: str
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The image's command with the example jobs, and what it has said until it serves."""
    folder.mkdir()
    process = made.run(folder, {ROOT / "examples": "/jobs"}, environment)
    try:
        said = []
        for line in process.stderr or ():
            said.append(line.decode(errors="replace"))
            if "serving on" in said[-1]:
                break
        yield process, "".join(said)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_the_steps_make_a_server(tmp_path: Path, shared_url: str) -> None:
    """Every step succeeds; as compose starts it the server runs a job as its own user, passes its
    health check, and ends at its signal.
    """
    context = tmp_path / "context"
    context.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, context)
    for name in ("client", "server"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    made = image.read(ROOT / "deploy/Dockerfile", context)
    assert (made.stages, made.user, made.signal) == (2, "headrace", "SIGTERM")
    given = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["one"]["environment"]
    port = ports.port()
    target = f"127.0.0.1:{port}"
    here = {
        "HEADRACE_DATABASE_URL": shared_url,
        "HEADRACE_AMQP_URL": "amqp://127.0.0.1:1/",
        "HEADRACE_ADDRESS": f"0.0.0.0:{port}",
        "HEADRACE_TARGET": target,
    }
    with running(made, tmp_path / "image", **{**given, **here}) as (process, said):
        assert f"serving on 0.0.0.0:{port}" in said
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
        assert made.health(process) == 0
        root = Path(f"/proc/{process.pid}/root")
        installed = {path.name for path in (root / "opt/headrace/lib").glob("python3.*/site-packages/*")}
        assert {"headrace", "headrace_server", "grpc", "psycopg"} <= installed
        assert not {"pytest", "ruff", "mypy", "hypothesis"} & installed
        assert not (root / "src").exists()
        with Client(target) as client:
            assert client.submit("files.checksum", {"path": "/jobs"}).result(60)
        process.send_signal(getattr(signal, made.signal))
        assert process.wait(60) == 0
    assert not list(tmp_path.glob("context/*.egg-info"))


def test_nothing_is_missing_from_the_context() -> None:
    """Whatever COPY takes from the checkout is let through by Dockerfile.dockerignore."""
    let_through = {
        line[1:]
        for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
        if line[0] == "!"
    }
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert {name for names in copied for name in names} == let_through
    assert (
        json.loads(next(line for line in lines if line.startswith("CMD")).removeprefix("CMD "))[0]
        == "headrace"
    )
