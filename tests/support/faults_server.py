"""A server whose database fails once, at a chosen statement.

    python -m support.faults_server serve       the product, with its store opened under planted faults

The choice is a file with a number and a kind of fault: the statement of that number from then on is the one. What was
struck is written to another file. The choice is taken away before the fault, so a server that died of it goes on.
"""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer import Typer

from headrace_server.__main__ import register
from headrace_server.app import App
from headrace_server.store.store import SqlStore
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
    """Faults that are armed by the file. Both the writer's thread and those that read come by."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._doing: Fault | None = None

    def reach(self, what: str, connection: Any, act: Act, part: Act | None = None) -> Any:
        """A point, or the one."""
        with self._lock:
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


def opened(url: str, **given: Any) -> SqlStore:
    """The store, whose every connection is ours: planted for good, readers connect later."""
    ChosenFaults().planted().__enter__()
    return SqlStore.open(url, **given)


def main() -> None:
    """The server's commands, on this store."""
    App.make_store = staticmethod(opened)  # type: ignore[assignment] # it is like SqlStore.open
    commands = Typer(no_args_is_help=True)
    register(commands)
    commands()


if __name__ == "__main__":
    main()
