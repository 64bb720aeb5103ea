"""What a process that a job forks takes over from the worker, and what it does not.

It is to be a process as any program forks one: SIGTERM ends it, and `Process.terminate()` and a pool of
multiprocessing depend on that. The worker's own handler does nothing there, so it is given back. From before the fork
until that is done SIGTERM is blocked: else one that comes in between meets the handler, or is thrown away with what
Python has noted for the process it was.

A handler of the job's own is inherited, as usual. A program that is started (subprocess, spawn, forkserver) inherits
none.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable

_SIGTERM = frozenset({signal.SIGTERM})


def give_sigterm_back(
    handler: Callable[[int, object], None], forked: Callable[[], None], busy: threading.Lock
) -> None:
    """From now on, in all processes forked from this one. handler: the worker's. forked: called in each of them.

    busy: held by a thread while it has locks that a fork would take along.
    """
    masks = threading.local()

    def before() -> None:
        masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGTERM)
        busy.acquire()

    def after() -> None:
        with contextlib.suppress(RuntimeError):  # another signal has kept it from being taken
            busy.release()
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.old)

    def in_child() -> None:
        if signal.getsignal(signal.SIGTERM) == handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        forked()
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)
