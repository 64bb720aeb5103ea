"""Follow children on their way out, while they close what they have open.

Nothing waits for them, and no slot is lost with one that hangs.
"""

import signal
from collections.abc import Callable
from functools import partial

from headrace_server.work.pool.born import Born
from headrace_server.work.pool.overdue import DYING, Overdue, Step
from headrace_server.work.pool.supervisor_client import SupervisorClient


class Going:
    """Children that have had their last run: their slots have others by now."""

    def __init__(self, supervision: SupervisorClient) -> None:
        self._supervision = supervision
        self._all: dict[int, tuple[Born, Overdue]] = {}

    def see_off(self, name: str, child: Born, step: Step) -> None:
        """Read what a child still writes until it ends.

        That belongs to no run. The child is killed when it does not end within its time.
        """
        child.line.watch(child.read, child.read_output)
        overdue = Overdue(name, self._pid(child.life), partial(self._kill, child.life))
        self._all[child.life] = (child, overdue)
        overdue.expect(step)

    def kill(self, name: str, child: Born) -> None:
        """End one that has had no run."""
        self.see_off(name, child, DYING)
        self._kill(child.life)

    def ended(self, life: int) -> None:
        """One has ended."""
        if life in self._all:
            child, overdue = self._all.pop(life)
            overdue.expect(None)
            child.line.close()

    def clear(self) -> None:
        """All have ended."""
        for life in list(self._all):
            self.ended(life)

    def _pid(self, life: int) -> Callable[[], int | None]:
        return lambda: self._supervision.pids.get(life)

    def _kill(self, life: int) -> None:
        self._supervision.signal(life, signal.SIGKILL)
        self._all[life][1].expect(DYING)
