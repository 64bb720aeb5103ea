"""One of the runs that share a child: its tasks, its threads, its way to the end."""

import asyncio
import threading
import time
from concurrent.futures import Future
from concurrent.futures.thread import _worker  # what threads of executors run
from typing import Any

from headrace import jobs
from headrace_server.work.child.reporter import ChildReporter
from headrace_server.work.child.shared.run_text import RunText


class SharedRun:
    """A run that has begun."""

    def __init__(self, ticket: int, info: jobs.RunInfo, reporter: ChildReporter, text: RunText) -> None:
        self.ticket = ticket
        self.info = info
        self.reporter = reporter
        self.text = text
        self.tasks: set[asyncio.Task[Any]] = set()
        """Its tasks that are not done: the first, and those created by it or by them."""
        self.code: jobs.TaskRun | None = None
        """Its code, until that has ended."""
        self.ending = jobs.Ending()
        self.over = False
        """Whether its end was said: what speaks from now on speaks for nobody."""
        self.held = False
        """Whether its threads did not end behind it: it may have to wait for the end of the process."""
        self._futures: set[Future[Any]] = set()
        self._threads: set[threading.Thread] = set()
        self._insisted = 0
        self._works_since: float | None = None

    def has(self, task: "asyncio.Task[Any]") -> None:
        """A task is created by it."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def gave(self, future: "Future[Any]") -> None:
        """Note what it has given to a thread of an executor."""
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def starts(self, thread: threading.Thread, *, own: bool) -> bool:
        """Note a thread that it starts; False for those of executors, which work for anybody.

        own: False where it may be that of a resource, which stays.
        """
        if getattr(thread, "_target", None) is _worker:
            return False
        if own:
            self._threads.add(thread)
        return True

    def stop(self, insisted: int) -> None:
        """Let its code see that it is to stop: once, and once more for each time that is insisted."""
        again = insisted > self._insisted
        self._insisted = insisted
        if self.code is None:
            if again:
                self.cancel()
        elif again:
            self.code.interrupt()
        else:
            self.code.look()

    def code_ended(self, ending: jobs.Ending) -> None:
        """Cancel what its code has left."""
        self.code, self.ending = None, ending
        self.cancel()

    def cancel(self) -> None:
        """Cancel its tasks, and what waits for a thread."""
        for task in list(self.tasks):
            task.cancel()
        for future in list(self._futures):
            future.cancel()

    def works(self) -> float:
        """Seconds for which threads of its have gone on behind its code; 0 when none does."""
        if not self._futures and not any(thread.is_alive() for thread in list(self._threads)):
            self._works_since = None
            return 0.0
        now = time.monotonic()
        if self._works_since is None:
            self._works_since = now
        return max(1e-9, now - self._works_since)
