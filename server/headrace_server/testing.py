"""A real server for tests.

The tests may be of services that call Headrace, of jobs that run in it, and of Headrace itself.

    with LocalServer(tmp_path, jobs=["my_service.jobs"]) as server, headrace.Client(server.target)
    as client:
        assert client.submit("my.job").result(10) == 42
        server.restart(clean=True)  # no jobs, new workers, the same address

It is `headrace serve` in a process of its own, on an SQLite file in a folder of yours, with real
workers.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

COMMAND = (sys.executable, "-m", "headrace_server")
READY = "serving on "
DEFAULT_LIMIT = 30.0


class ServerEnded(Exception):
    """The server ended instead of serving; the text is its log."""


class LocalServer:
    """One server on a free port of loopback.

    After it is killed or stopped, it can be started again on its file and port.

    jobs: modules that register jobs, importable with `path` in front of the import path. settings:
    those of headrace_server.config, by name. limit: seconds to wait for its start and its end. log:
    the lines that it has logged, as dicts. command: what is run, with the word serve behind it.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Iterable[str] = (),
        *,
        path: Iterable[Path] = (),
        command: Sequence[str] = COMMAND,
        limit: float = DEFAULT_LIMIT,
        **settings: object,
    ) -> None:
        self.folder = folder
        self.settings: dict[str, object] = {
            "database_url": f"sqlite:///{folder}/headrace.db",
            "address": "127.0.0.1:0",
            "jobs": ",".join(jobs),
            "entry_points": False,
            "workers": 2,
            "workspace": folder / "workspaces",
            "log_format": "json",
            **settings,
        }
        self.environment = {"PYTHONPATH": os.pathsep.join(map(str, path))}
        self.command = command
        self.limit = limit
        self.log: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._serving = False
        self._settled = threading.Event()

    @property
    def target(self) -> str:
        """Its host:port, once it has started."""
        return str(self.settings["address"])

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of its present or last life."""
        if self._process is None:
            raise AssertionError("the server was not started")
        return self._process

    def start(self) -> Self:
        """Start it and wait until it serves. Raises ServerEnded."""
        self.launch()
        self._settled.wait(self.limit)
        if not self._serving:
            self.kill()
            raise ServerEnded("\n".join(str(entry) for entry in self.log))
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        given = {f"HEADRACE_{name.upper()}": str(value) for name, value in self.settings.items()}
        self._serving = False
        self._settled.clear()
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*self.command, "serve"],
            env={**os.environ, **self.environment, **given},
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stderr or ():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.decode(errors="replace").rstrip(), "level": "raw"}
            self.log.append(entry)
            if entry["event"].startswith(READY):
                self.settings["address"] = entry["event"].removeprefix(READY)
                self._serving = True
                self._settled.set()
        self._settled.set()  # nothing more will come

    def stop(self) -> int:
        """SIGTERM: it drains. Answers its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for its end. Answers its exit code."""
        code = self.process.wait(self.limit)
        if self._reader is not None:
            self._reader.join(self.limit)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def restart(self, *, clean: bool = False) -> Self:
        """Stop it and start it again on its port; clean: without the jobs that it had."""
        self.stop()
        if clean:
            database = Path(str(self.settings["database_url"]).removeprefix("sqlite:///"))
            for part in ("", "-wal", "-shm"):
                Path(f"{database}{part}").unlink(missing_ok=True)
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        if self.process.poll() is None:
            self.kill()
