"""A real server for a test: `headrace serve` in a process of its own, on a file of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import headrace

TESTS = Path(__file__).parents[1]
LIMIT = 30.0
"""Seconds: a guard against hanging, not a promise."""


def until(fact: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """Wait for a fact: what it gives when that is true. Fails with `what` after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (found := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit:g} s: {what}")
        time.sleep(0.005)
    return found


class Server:
    """One server, which can be killed and started again on the same file and port."""

    def __init__(self, folder: Path, jobs: str = "support.jobs", **settings: object) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.settings = {
            "database_url": f"sqlite:///{folder}/headrace.db",
            "address": "127.0.0.1:0",
            "jobs": jobs,
            "entry_points": "false",
            "workers": 2,
            "workspace": folder / "workspaces",
            "log_format": "json",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log: list[dict[str, Any]] = []
        self._reader: threading.Thread | None = None

    @property
    def target(self) -> str:
        """Its host:port."""
        return str(self.settings["address"])

    def start(self, *, ready: bool = True) -> Self:
        """Start it, and wait until it serves."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "HEADRACE_TEST_MARK": self.mark,
            **{f"HEADRACE_{name.upper()}": str(value) for name, value in self.settings.items()},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace_server", "serve"],
            env=environment,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )
        first = len(self.log)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        if ready:
            line = until(
                lambda: (
                    next((e for e in self.log[first:] if e["event"].startswith("serving on ")), None)
                    or self._check_alive()
                ),
                "the server serves",
            )
            self.settings["address"] = line["event"].removeprefix("serving on ")
        return self

    def _check_alive(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.log}")

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": line.decode(errors="replace").rstrip(), "level": "raw"})

    def logged(self, text: str) -> list[dict[str, Any]]:
        """Log lines whose event contains a text."""
        return [entry for entry in self.log if text in entry["event"]]

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def terminate(self, limit: float = LIMIT) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait(limit)

    def wait(self, limit: float = LIMIT) -> int:
        """Wait for its end, and answer its exit code."""
        assert self.process is not None
        assert self._reader is not None
        self.process.wait(limit)
        self._reader.join(limit)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return self.process.returncode

    def processes(self) -> list[int]:
        """Every living process that it, its workers or their jobs have started, itself included."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if self.mark.encode() in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def gone(self) -> None:
        """Wait until none of its processes is left."""
        until(lambda: not self.processes(), "no process of the server is left")

    def close(self) -> None:
        """End it; fail if it does not end when told, or leaves a process behind. Its log is shown with a failure."""
        sys.stdout.write("".join(f"{entry}\n" for entry in self.log))
        try:
            if self.process is not None and self.process.poll() is None:
                self.terminate()
            self.gone()
        finally:
            if self.process is not None and self.process.poll() is None:
                self.kill()
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def client(self, **options: Any) -> headrace.Client:
        """A client of it."""
        return headrace.Client(self.target, **options)


@contextlib.contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    """A server for the length of the block."""
    server = Server(folder, **settings).start()
    try:
        yield server
    finally:
        server.close()
