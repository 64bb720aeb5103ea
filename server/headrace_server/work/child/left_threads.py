"""Threads that a run has left in its worker.

They would go on while the next job runs, and what they print would pass for that job's. So the
worker is replaced, and the run is over when its process is. Not counted are those that were there
before the run, those that started while a resource was made, and, after a run that has used a
resource with threads=True, any: the resource's are not told apart from the job's.
"""

import os
import threading
import time
from collections.abc import Callable

from headrace import jobs

PATIENCE = 0.05
"""Seconds that a thread may take to end behind its run: one that was told to end needs a moment."""

START = 0.02
"""Seconds for a thread that the kernel has, and Python does not know yet.

Threads of C code stay unknown: they run no code of a job.
"""

_PAUSE = 0.001


class LeftThreads:
    """Asked at the end of each run. own: a thread of the worker itself, once it has one."""

    def __init__(self, resources: jobs.Resources, own: Callable[[], threading.Thread | None]) -> None:
        self._resources = resources
        self._own = own
        self._before = jobs.threads()
        self._known = jobs.starting_threads()
        self._tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_CLOEXEC)
        self._count = self._counted()

    def adopt(self) -> None:
        """Treat the threads that are there as those of the worker."""
        self._known = jobs.starting_threads()
        self._count = self._counted()

    def begin(self) -> set[int]:
        """A run begins. Answers the threads that are there."""
        self._resources.starts_threads = False
        self._before = jobs.threads()
        return self._before

    def names(self, *, stopped: bool) -> list[str]:
        """Return the names of the threads that the run has left, sorted.

        `stopped`: no code of the run may go on, wherever its thread was started.
        """
        count, before = self._counted(), self._count
        self._count = count
        if count <= before and jobs.threads() <= self._before:
            return []
        if self._resources.starts_threads and not stopped:
            return []
        left = self._waited_for(max(0, count - before))
        self._known = jobs.starting_threads()
        self._count = self._counted()
        return jobs.thread_names(left)

    def _waited_for(self, more: int) -> set[int]:
        """Wait for threads to show and to end, and return those that are left.

        The kernel has `more` threads than before; these get time to show in Python.
        """
        now = time.monotonic()
        while len(self._new()) < more and time.monotonic() < now + START:
            time.sleep(_PAUSE)
        while (left := self._left()) and time.monotonic() < now + PATIENCE:
            time.sleep(_PAUSE)
        return left

    def _new(self) -> set[int]:
        return (jobs.threads() | jobs.starting_threads()) - self._before - self._known

    def _left(self) -> set[int]:
        own = self._own()
        return self._new() - self._resources.threads - ({own.ident or 0} if own else set())

    def _counted(self) -> int:
        """How many threads the kernel has: links of the folder, and two more."""
        return os.fstat(self._tasks).st_nlink
