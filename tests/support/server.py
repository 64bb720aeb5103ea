"""A server whose every process can be found, and waits for facts."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import headrace
from headrace_server.testing import COMMAND, DEFAULT_LIMIT, LocalServer
from support import leaks
from support.ports import port

TESTS = Path(__file__).parents[1]


def until(fact: Callable[[], Any], what: str, limit: float = DEFAULT_LIMIT) -> Any:
    """Wait for a fact: what it gives when that is true. Fails with `what` after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (found := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit:g} s: {what}")
        time.sleep(0.005)
    return found


class Server(LocalServer):
    """A LocalServer with the jobs of support.jobs, which marks what it starts and leaves nothing
    behind.
    """

    def __init__(
        self,
        folder: Path,
        jobs: str = "support.jobs",
        *,
        command: Sequence[str] = COMMAND,
        **settings: object,
    ) -> None:
        settings.setdefault("address", f"127.0.0.1:{port()}")
        super().__init__(folder, jobs.split(","), path=[TESTS], command=command, **settings)
        self.mark = uuid.uuid4().hex
        self.environment["HEADRACE_TEST_MARK"] = self.mark
        # Whoever starts it again, it belongs to the test or fixture that has made it.
        self.environment[leaks.MARK] = os.environ.get(leaks.MARK, "")

    def logged(self, text: str) -> list[dict[str, Any]]:
        """Log lines whose event contains a text."""
        return [entry for entry in self.log if text in entry["event"]]

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
        """End it; fail if it does not end when told, or leaves a process behind.

        Its log is shown with a failure.

        Where a test is failing already it is killed: what its drain would find to say must not hide
        why.
        """
        try:
            if self.process.poll() is None:
                if sys.exc_info()[0] is None:
                    self.stop()
                else:
                    self.kill()
            self.gone()
        except (subprocess.TimeoutExpired, AssertionError):
            self.process.send_signal(signal.SIGUSR1)  # it says what it is doing
            time.sleep(1)
            raise
        finally:
            sys.stdout.write("".join(f"{entry}\n" for entry in self.log))
            if self.process.poll() is None:
                self.kill()
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        self.close()

    def client(self, **options: Any) -> headrace.Client:
        """A client of it."""
        return headrace.Client(self.target, **options)
