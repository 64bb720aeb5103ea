"""Keep the libraries that start processes informed when the processes of a run have ended.

No process outlives the run that started it. But `subprocess` and `multiprocessing` keep books,
behind whose back the worker kills and reaps: the next job would wait for a fork server that is
gone, and hear of a program that it has ended well. So after each sweep the books are put right:

    before the sweep    named semaphores are given back, the resource tracker hears that its user has gone
    the sweep           kills all; the tracker unlinks what is left of shared memory, and ends (`process_tree`)
    after it            the next job starts a tracker and a fork server of its own;
                        a Popen or Process that was kept has its exit code, an executor or pool says
                        what happened

What job modules have made while they were loaded is the worker's: its tracker stays, and what it
watches.

A library that no job has imported costs a look into sys.modules.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from headrace_server.work.linux.process_tree import Process

_GONE = (
    "The processes of this one have ended with the job that started them: a worker keeps none from one job to the next. "
    "Make it in the job that uses it."
)


class Helpers:
    """The books of one worker."""

    def __init__(self) -> None:
        self._own: tuple[int, int] | None = None
        self._own_finalizers: Collection[Any] = ()

    @property
    def spared(self) -> Collection[int]:
        """The processes that a sweep leaves alone."""
        return () if self._own is None else (self._own[1],)

    def loaded(self) -> None:
        """The job modules are loaded: what is there now belongs to the worker."""
        tracker = _tracker()
        if tracker is not None and tracker._fd is not None:
            self._own = (tracker._fd, tracker._pid)
            self._own_finalizers = list(_finalizers())
            tracker._fd = tracker._pid = None

    def leave(self) -> None:
        """Prepare the worker's end: what belongs to it is given back by what has made it."""
        tracker = _tracker()
        if self._own is not None and tracker is not None:
            tracker._fd, tracker._pid = self._own

    def release(self) -> None:
        """Prepare a sweep: no pool starts new processes, and the run's tracker can finish.

        The tracker is the resource tracker of multiprocessing.
        """
        with contextlib.suppress(Exception):
            _stop_pools()
        with contextlib.suppress(Exception):
            _remove_folder()
        tracker = _tracker()
        if tracker is None or tracker._fd is None:
            return
        with contextlib.suppress(Exception):
            _give_semaphores_back(self._own_finalizers)
        with contextlib.suppress(OSError):
            os.close(tracker._fd)
        tracker._fd = tracker._pid = None

    def swept(self, statuses: Mapping[int, int], killed: Collection[int]) -> None:
        """Put the books right after a sweep.

        `statuses` has the wait statuses of the processes that the sweep has reaped, `killed` those
        that it has killed.

        Not all of these were reaped by it: a thread of an executor waits for its processes too.
        """
        if not statuses and not killed:
            return
        _forget_fork_server(statuses)
        processes: Any = sys.modules.get("multiprocessing.process")
        if processes is not None:
            processes._children.clear()
        _tell_holders(statuses, {*statuses, *killed})

    def owns(self, process: Process) -> bool:
        """Return whether a process is the fork server of multiprocessing, or forked by it.

        These are multiprocessing's own processes, and not ones that a job has forgotten.

        Of those a job learns that they are gone before they are.
        """
        server = _fork_server()
        return getattr(server, "_forkserver_pid", None) in (process.pid, process.parent)


def _tracker() -> Any:
    return getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)


def _fork_server() -> Any:
    return getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)


def _finalizers() -> dict[Any, Any]:
    registry: dict[Any, Any] = getattr(sys.modules.get("multiprocessing.util"), "_finalizer_registry", {})
    return registry


def _stop_pools() -> None:
    """End the threads of pools that were left open.

    One of these threads puts a new process in the place of each dead one.
    """
    for finalizer in list(_finalizers().values()):
        if getattr(finalizer._callback, "__name__", "") == "_terminate_pool":
            news, handler = finalizer._args[4:6]
            handler._state = "TERMINATE"
            news.put(None)


def _remove_folder() -> None:
    """Remove the temporary folder with the sockets: a worker that is killed would leave it."""
    for finalizer in list(_finalizers().values()):
        if getattr(finalizer._callback, "__name__", "") == "_remove_temp_dir":
            finalizer()


def _give_semaphores_back(kept: Collection[Any]) -> None:
    """Unlink the named semaphores that wait for the garbage collector.

    It would otherwise come for them in a later job.
    """
    semaphores: Any = sys.modules.get("multiprocessing.synchronize")
    if semaphores is None:
        return
    for key, finalizer in list(_finalizers().items()):
        if key not in kept and finalizer._callback is semaphores.SemLock._cleanup:
            finalizer()


def _forget_fork_server(statuses: Mapping[int, int]) -> None:
    server = _fork_server()
    if server is None or server._forkserver_pid not in statuses:
        return
    with contextlib.suppress(OSError):
        os.close(server._forkserver_alive_fd)
    with contextlib.suppress(OSError, TypeError):
        os.unlink(server._forkserver_address)  # noqa: PTH108 - it may be no path
    server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None


def _tell_holders(statuses: Mapping[int, int], gone: Collection[int]) -> None:
    """Update every object that stands for one of these processes.

    This is a walk over all objects, for the few jobs that leave any processes.
    """
    tellers = {known: tell for name, tell in _TELLERS.items() if (known := _class(name)) is not None}
    if not tellers:
        return
    classes = tuple(tellers)
    gc.unfreeze()  # those that are set aside are not listed
    for thing in gc.get_objects():
        kind = type(thing)
        if issubclass(kind, classes):
            with contextlib.suppress(Exception):
                next(tell for known, tell in tellers.items() if issubclass(kind, known))(
                    thing, statuses, gone
                )


def _class(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None)


def _tell_process(process: Any, statuses: Mapping[int, int], _gone: Collection[int]) -> None:
    if process.returncode is None and process.pid in statuses:
        process.returncode = os.waitstatus_to_exitcode(statuses[process.pid])


def _tell_executor(executor: Any, _statuses: Mapping[int, int], gone: Collection[int]) -> None:
    if any(pid in gone for pid in executor._processes or ()):
        broken: Any = _class("concurrent.futures.process.BrokenProcessPool")
        executor.submit = _refusing(broken)


def _tell_pool(pool: Any, _statuses: Mapping[int, int], gone: Collection[int]) -> None:
    if any(process.pid in gone for process in pool._pool):
        pool._terminate.cancel()  # at exit it would wait for them
        pool._check_running = _refusing(ValueError)


def _refusing(kind: type[Exception]) -> Callable[..., Any]:
    def refuse(*_arguments: object, **_named: object) -> Any:
        raise kind(_GONE)

    return refuse


_TELLERS: Mapping[str, Callable[[Any, Mapping[int, int], Collection[int]], None]] = {
    "subprocess.Popen": _tell_process,
    "multiprocessing.popen_fork.Popen": _tell_process,
    "concurrent.futures.process.ProcessPoolExecutor": _tell_executor,
    "multiprocessing.pool.Pool": _tell_pool,
}
