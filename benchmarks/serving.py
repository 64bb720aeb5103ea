"""A Headrace server as it is shipped: `serve`, in a process of its own, every commit synced."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 30.0


@contextmanager
def serving(folder: Path, *, workers: int) -> Iterator[str]:
    """A server on the database in `folder` for the length of the block; its host:port."""
    settings = {
        "database_url": f"sqlite:///{folder}/headrace.db",
        "address": "127.0.0.1:0",
        "jobs": "benchmarks.noops",
        "entry_points": "false",
        "workers": workers,
        "workspace": folder / "workspaces",
        "log_format": "json",
    }
    environment = {f"HEADRACE_{name.upper()}": str(value) for name, value in settings.items()}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace_server", "serve"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stderr=output,
            cwd=folder,
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            _, serving_on, address = json.loads(line)["event"].partition("serving on ")
            if serving_on:
                return address
        time.sleep(0.01)
    raise SystemExit(f"The server did not start:\n{log.read_text()}")
