"""A server that is started in another way than by its own module: with a part replaced, or under a tracer."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support.server import TESTS, Server, until

MODULE = (sys.executable, "-m", "headrace_server")


class Launched(Server):
    """A Server whose program is `command`, which is given the word serve."""

    def __init__(self, folder: Path, command: Sequence[str] = MODULE, **settings: object) -> None:
        super().__init__(folder, **settings)  # type: ignore[arg-type] # settings are of any type
        self.command = command

    def start(self, *, ready: bool = True) -> Self:
        """Start it, and wait until it serves."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "HEADRACE_TEST_MARK": self.mark,
            **{f"HEADRACE_{name.upper()}": str(value) for name, value in self.settings.items()},
        }
        self.process = subprocess.Popen(
            [*self.command, "serve"], env=environment, stderr=subprocess.PIPE, cwd=self.folder
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
