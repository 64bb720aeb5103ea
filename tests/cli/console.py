"""The headrace script as a process of its own, in pipes and on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "examples"
SCRIPT = [sys.executable, "-c", "from headrace.cli import main; main()"]
LIMIT = 60.0
"""Seconds after which a test gives a fact up."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of Headrace."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**kept, "TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": f"{EXAMPLES}:{TESTS}", **more}


@dataclass(frozen=True)
class Script:
    """The headrace script."""

    environment: Mapping[str, str] = field(default_factory=environment)

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command line that is to end with the code; returns what it wrote to stdout."""
        return self.done(*words, code=code).stdout.strip()

    def error(self, *words: str, code: int) -> str:
        """Run a command line that fails with the code and one line; returns that line."""
        done = self.done(*words, code=code)
        assert done.stdout == ""
        assert done.stderr.startswith("headrace: ")
        assert done.stderr.count("\n") == 1
        return done.stderr.removeprefix("headrace: ").strip()

    def done(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command line in pipes; it is to end with the code and without a traceback."""
        done = subprocess.run(
            [*SCRIPT, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done

    @contextmanager
    def on_terminal(self, *words: str) -> Iterator["Screen"]:
        """Run a command line with its stderr on a terminal and its stdout in a pipe."""
        ours, theirs = pty.openpty()
        try:
            with subprocess.Popen(
                [*SCRIPT, *words], env=self.environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
            ) as process:
                os.close(theirs)
                screen = Screen(process, ours)
                try:
                    yield screen
                finally:
                    process.kill()
        finally:
            os.close(ours)


class Screen:
    """What a command shows on its terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self.text = ""

    def shows(self, pattern: str) -> re.Match[str]:
        """Read on until a pattern has been shown."""
        end = time.monotonic() + LIMIT
        while (match := re.search(pattern, self.text)) is None:
            assert time.monotonic() < end, self.text[-2000:]
            assert self._read(), self.text[-2000:]
        return match

    def wait(self) -> None:
        """Take in what is there, or wait a little."""
        assert self._read(), self.text[-2000:]

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def ends(self) -> tuple[int, str]:
        """Read to the end; returns the exit code and what went to stdout."""
        while self._read():
            pass
        out = self._process.communicate(timeout=LIMIT)[0]
        return self._process.returncode, out.decode().strip()

    def _read(self) -> bool:
        """Take in what is there, or wait a little; False at the end."""
        readable, _, _ = select.select([self._descriptor], [], [], 0.2)
        if not readable:
            return True
        try:
            self.text += os.read(self._descriptor, 65536).decode(errors="replace")
        except OSError:  # the last process has closed the terminal
            return False
        return True
