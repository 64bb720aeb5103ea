"""The processes that load job modules: loaders, below a supervisor that is started again."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from headrace_server.work.catalog import loader
from headrace_server.work.catalog.loader_life import LoaderLife
from headrace_server.work.pool.slot import cause_of
from headrace_server.work.pool.supervisor_client import SupervisorClient

RETRY_SECONDS: Final = 1.0
"""After so long a supervisor that has died, or could not be started, is started again."""
_SILENCE: Final = 8.0


class LoaderProcesses:
    """Loaders of these settings. Nothing runs before `start`.

    load_seconds: for the import of each module. on_end is told of a loader that is about to end
    (its `asked` still says what it was asked), and why.
    """

    def __init__(
        self,
        settings: loader.LoaderSettings,
        load_seconds: float,
        *,
        log: logging.Logger,
        on_end: Callable[[LoaderLife, str], None],
    ) -> None:
        self._seconds = load_seconds
        self._log = log
        self._on_end = on_end
        self._supervision = SupervisorClient(
            loader.__name__,
            asdict(settings),
            (),
            _SILENCE,
            fence=lambda: None,
            on_exited=self._exited,
            on_lost=self._lost,
        )
        self._lives: dict[int, LoaderLife] = {}
        self._up = asyncio.Event()
        self._closing = False

    def start(self) -> None:
        """Start the supervisor. Raises OSError when that cannot be."""
        self._supervision.start()
        self._up.set()

    async def spawn(self, skip: Sequence[str], **more: object) -> LoaderLife:
        """Start a loader that leaves out the modules of `skip`, once there is a supervisor.

        more: other settings of this loader.
        """
        await self._up.wait()
        life = LoaderLife(self._seconds, self.kill)
        life.number = self._supervision.spawn(life.line.child_fds, skip=skip, **more)
        life.line.close_child_side()
        self._lives[life.number] = life
        return life

    def kill(self, life: LoaderLife) -> None:
        """SIGKILL; on_end follows."""
        self._supervision.signal(life.number, signal.SIGKILL)

    async def close(self) -> None:
        """End all of them; nothing is left."""
        self._closing = True
        await self._supervision.stop()

    def _start_again(self) -> None:
        if self._closing:
            return
        try:
            self.start()
        except OSError:
            self._log.exception("the supervisor of the loader could not be started")
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._start_again)

    def _exited(self, number: int, status: int | None, note: str) -> None:
        life = self._lives.pop(number, None)
        if life is not None:
            self._on_end(life, cause_of(status, note))

    def _lost(self) -> None:
        self._up.clear()
        lives, self._lives = self._lives, {}
        for life in lives.values():
            self._on_end(life, "killed with its supervisor")
        if not self._closing:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._start_again)
