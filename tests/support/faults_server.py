"""A server whose database fails once, at a chosen statement.

    python -m support.faults_server serve       the product, over connections that are planted

The choice is a file with a number and a kind of fault: the statement of that number from then on is
the one. What was struck is written to another file. The choice is taken away before the fault, so a
server that died of it goes on.
"""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer import Typer

from headrace_server.__main__ import register
from support.faults import TROUBLE, Act, Fault, Faults, dies, does_and_dies, fails
from support.server import Server, until

COMMAND = (sys.executable, "-m", "support.faults_server")
CHOICE = Path("fault-at")
STRUCK = Path("struck")
POINTS = Path("points")
"""In the folder of the server, which is its working directory."""

COUNT = "count"
DEATHS: Mapping[str, Fault] = {"killed before": dies, "killed after": does_and_dies}
KINDS: Mapping[str, Fault] = {
    **TROUBLE,
    "an unexpected exception": fails(ZeroDivisionError("unexpected")),
    **DEATHS,
}


class FaultyServer(Server):
    """A server that can be told where its database is to fail."""

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__(folder, "support.jobs,support.chaos_jobs", command=COMMAND, **settings)

    def choose(self, at: int, kind: str) -> None:
        """Let the statement number `at` from now on fail like this, once."""
        (self.folder / STRUCK).unlink(missing_ok=True)
        draft = self.folder / "draft"
        draft.write_text(f"{at} {kind}")
        draft.rename(self.folder / CHOICE)

    def struck(self) -> str:
        """The statement that failed; "" while none has."""
        path = self.folder / STRUCK
        return path.read_text() if path.exists() else ""

    def counted(self) -> list[str]:
        """The statements since `choose(0, COUNT)`."""
        self.choose(0, COUNT)
        path = self.folder / POINTS
        until(lambda: not (self.folder / CHOICE).exists(), "the server has met another statement")
        return path.read_text().splitlines()


# What runs in the server


class ChosenFaults(Faults):
    """Faults of the thread that writes, armed by the file.

    How often a test reads is not always the same.
    """

    def reach(self, what: str, connection: Any, act: Act, part: Act | None = None) -> Any:
        """A point, or the one."""
        if threading.current_thread().name != "store-writer" or what.startswith("PRAGMA"):
            return act()
        self._look()
        fault = self._meet(what)
        return act() if fault is None else fault(connection, part or act)

    def _look(self) -> None:
        if not CHOICE.exists():
            return
        at, _, kind = CHOICE.read_text().partition(" ")
        if kind == COUNT:
            POINTS.write_text("\n".join(self.passed))
        CHOICE.unlink()
        self.arm(int(at), KINDS.get(kind))

    def _meet(self, what: str) -> Fault | None:
        self.passed.append(" ".join(what.split()[:3]))
        if len(self.passed) != self._at or self._fault is None:
            return None
        draft = Path(f"{STRUCK}.draft")
        draft.write_text(self.passed[-1])
        draft.rename(STRUCK)
        return self._fault


def main() -> None:
    """The server's commands, on connections of ours."""
    commands = Typer(no_args_is_help=True)
    register(commands)
    with ChosenFaults().planted():
        commands()


if __name__ == "__main__":
    main()
