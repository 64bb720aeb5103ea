"""Decide what a process that a job forks takes over from the worker, and what it does not.

It is to be a process as any program forks one: SIGTERM ends it, and `Process.terminate()` and a
pool of multiprocessing depend on that. The worker's own handler does nothing there, so it is given
back. From before the fork until that is done SIGTERM is blocked: else one that comes in between
meets the handler, or is thrown away with what Python has noted for the process it was.

A handler of the job's own is inherited, as usual. A program that is started (subprocess, spawn,
forkserver) inherits none.

In the worker a SIGTERM that was blocked comes while Python still calls what is here, where nothing
can be raised into the job: it is sent again when the fork is over.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

_SIGTERM = frozenset({signal.SIGTERM})
_AGAIN_SECONDS = 0.002


class Forks:
    """The forks of this process, from now on.

    handler: the worker's. forked: called in each new process. busy: held by a thread while it has
    locks that a fork would take along.
    """

    def __init__(
        self,
        handler: Callable[[int, FrameType | None], None],
        forked: Callable[[], None],
        busy: threading.Lock,
    ) -> None:
        self._handler = handler
        self._forked = forked
        self._busy = busy
        self._masks = threading.local()
        self._under_way = 0
        self._late = False
        os.register_at_fork(
            before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child
        )

    def deferred(self, frame: FrameType | None) -> bool:
        """Return whether a fork is under way where the signal handler was called.

        The signal then comes again.
        """
        if self._under_way:
            self._late = True
            return True
        # The first and last moments of what is called here: before it has counted, and after.
        while frame is not None:
            if frame.f_code in _CALLED:
                _again()
                return True
            frame = frame.f_back
        return False

    def _before(self) -> None:
        self._under_way += 1
        self._masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGTERM)
        self._busy.acquire()

    def _after(self) -> None:
        with contextlib.suppress(RuntimeError):  # another signal has kept it from being taken
            self._busy.release()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.old)

    def _in_parent(self) -> None:
        self._after()
        self._under_way -= 1
        if self._late:
            self._late = False
            _again()

    def _in_child(self) -> None:
        self._under_way, self._late = 0, False
        if signal.getsignal(signal.SIGTERM) == self._handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._forked()
        self._after()


_CALLED = frozenset(code.__code__ for code in (Forks._before, Forks._after, Forks._in_parent))  # noqa: SLF001 - its own


def _again() -> None:
    timer = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
