"""Straighten what a job may have bent in its process, for the next job.

Standard streams, the working directory, the handler of SIGTERM: each is put back after a run with a
system call or two. Processes are swept. What else a process has is compared and put back in
`process_state`; what modules keep in their variables stays as the job left it: isolation of that
costs a process a run.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from headrace_server.work.child.captured_streams import Streams
from headrace_server.work.child.helpers import Helpers
from headrace_server.work.linux import process_tree


class Surroundings:
    """The process of a child, outside the code of its jobs."""

    def __init__(self, streams: Streams, on_terminate: Callable[[int, FrameType | None], None]) -> None:
        self._streams = streams
        self._on_terminate = on_terminate
        self._home = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        self._helpers = Helpers()
        self.straighten()

    @property
    def descriptors(self) -> Sequence[int]:
        """Those that it cannot do without."""
        return (self._home, *self._streams.outputs)

    def straighten(self) -> None:
        """Put back what a job may have bent."""
        self._streams.straighten()
        os.fchdir(self._home)
        signal.signal(signal.SIGTERM, self._on_terminate)

    def loaded(self) -> list[str]:
        """Note that the job modules are loaded, and end the processes that they started.

        Returns the names of these processes.
        """
        self._helpers.loaded()
        return self._sweep()

    def leave(self) -> None:
        """This process ends as a program does, its functions of atexit come next."""
        self._helpers.leave()

    def settle(self) -> list[str]:
        """After a run: its processes end, its output is written and read by the server.

        Answers the names of the processes that it had left.
        """
        process_tree.flush_c_streams()  # first: what it holds are whole lines, more often than not
        self._streams.finish()
        left = self._sweep()
        # However long the server takes, since it may be holding this run back. One that is frozen
        # is not waited for in vain: the supervisor takes it for dead, and kills all.
        self._streams.wait_until_read()
        return left

    def _sweep(self) -> list[str]:
        with contextlib.suppress(Exception):  # books of libraries, of which a later version may keep others
            self._helpers.release()
        statuses, running = process_tree.sweep(time.sleep, self._helpers.spared)
        left = [process.name for process in running if not self._helpers.owns(process)]
        with contextlib.suppress(Exception):
            self._helpers.swept(statuses, [process.pid for process in running])
        return left
