"""What a job may have bent in its process, and the next one must find straight.

Standard streams, the working directory, the handler of SIGTERM: each is put back after a run with a system call
or two. Processes are swept. What else a process has is compared and put back in `process_state`; what modules keep in their
variables stays as the job left it: isolation of that costs a process a run.
"""

import contextlib
import fcntl
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from headrace_server.work import process_tree
from headrace_server.work.helpers import Helpers

_ENCODING, _ERRORS = "utf-8", "backslashreplace"
_NOTHING = b"\0\0\0\0"


class Surroundings:
    """The process of a child, outside the code of its jobs. outputs: the write ends of the two pipes."""

    def __init__(self, outputs: tuple[int, int], on_terminate: Callable[[int, object], None]) -> None:
        self._outputs = outputs
        self._on_terminate = on_terminate
        self._home = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        self._streams: tuple[TextIOWrapper, TextIOWrapper] | None = None
        self._helpers = Helpers()
        self.straighten()

    @property
    def descriptors(self) -> Sequence[int]:
        """Those that it cannot do without."""
        return (self._home, *self._outputs)

    def straighten(self) -> None:
        """Put back what a job may have bent."""
        for number, output in enumerate(self._outputs, start=1):
            os.dup2(output, number)
        streams = self._streams
        if streams is None or streams[0].closed or streams[1].closed:
            streams = self._streams = (_stream(1), _stream(2))
        for stream in streams:
            _straighten_stream(stream)
        sys.stdout, sys.stderr = streams
        os.fchdir(self._home)
        signal.signal(signal.SIGTERM, self._on_terminate)

    def loaded(self) -> list[str]:
        """The job modules are loaded. Answers the names of the processes that they started, which have ended now."""
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
        for stream in (sys.stdout, sys.stderr, *(self._streams or ())):
            # A job may have closed it, or have put something of its own in its place.
            with contextlib.suppress(Exception):
                stream.flush()
        left = self._sweep()
        wait = 0.0001
        # However long the server takes, since it may be holding this run back. One that is frozen is not waited for
        # in vain: the supervisor takes it for dead, and kills all.
        while any(map(_unread, self._outputs)):
            time.sleep(wait)
            wait = min(wait * 2, 0.005)
        return left

    def _sweep(self) -> list[str]:
        with contextlib.suppress(Exception):  # books of libraries, of which a later version may keep others
            self._helpers.release()
        statuses, running = process_tree.sweep(time.sleep, self._helpers.spared)
        left = [process.name for process in running if not self._helpers.owns(process)]
        with contextlib.suppress(Exception):
            self._helpers.swept(statuses)
        return left


def _stream(number: int) -> TextIOWrapper:
    # closefd: sys.stdout.close() in a job is not to close the descriptor.
    return open(number, "w", buffering=1, encoding=_ENCODING, errors=_ERRORS, closefd=False)


def _straighten_stream(stream: TextIOWrapper) -> None:
    if (stream.encoding, stream.errors, stream.line_buffering) != (_ENCODING, _ERRORS, True):
        stream.reconfigure(encoding=_ENCODING, errors=_ERRORS, line_buffering=True)


def _unread(pipe: int) -> bool:
    """Whether the other side has still to read: FIONREAD answers at the writing end too. Not of one that a job has closed."""
    try:
        return fcntl.ioctl(pipe, termios.FIONREAD, _NOTHING) != _NOTHING
    except OSError:
        return False
