"""Define what is compared after a run, and how it is put back.

This shows what a job may rely on (docs/jobs.md).

The order counts: identity first, for it may be what keeps the rest from being put back; the
environment before the time zone, which is read from it.
"""

import faulthandler
import locale
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from headrace_server.work.child.interpreter_traits import interpreter_traits, seldom_changed_traits
from headrace_server.work.child.kernel_traits import kernel_traits
from headrace_server.work.child.process_state import Trait

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_OFF = (0.0, 0.0)
_SIGNALS = sorted(map(int, signal.valid_signals()))
_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
)
_MORE_LIMITS = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_DATA,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RSS,
    resource.RLIMIT_RTPRIO,
    resource.RLIMIT_RTTIME,
    resource.RLIMIT_SIGPENDING,
    resource.RLIMIT_STACK,
)
_handler_of: Callable[[int], Any] = signal.getsignal.__globals__["_signal"].getsignal
"""signal.getsignal without its enumeration, at a twentieth of its price."""
_environ = os.environ
_bytes: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined] # noqa: SLF001 - to be compared at once


def _timers() -> bool:
    faulthandler.cancel_dump_traceback_later()  # a timer too; whether it runs can't be asked
    return all(signal.getitimer(timer) == _OFF for timer in _TIMERS)


def _stop_timers(off: bool) -> None:
    for timer in _TIMERS if off else ():
        signal.setitimer(timer, 0)


def _ids() -> tuple[Any, ...]:
    return os.getresuid(), os.getresgid(), os.getgroups()


def _set_ids(ids: tuple[Any, ...]) -> None:
    users, groups, others = ids
    os.setresuid(-1, users[2], -1)  # to be allowed the rest
    os.setresgid(*groups)
    if os.getgroups() != others:
        os.setgroups(others)
    os.setresuid(*users)


def _mask() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _set_mask(mask: set[int]) -> None:
    while late := signal.sigpending() & (_mask() - mask):  # they were meant for the run
        signal.sigtimedwait(late, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _handlers() -> list[Any]:
    return list(map(_handler_of, _SIGNALS))


def _set_handlers(handlers: Sequence[Any]) -> None:
    for number, now, handler in zip(_SIGNALS, _handlers(), handlers, strict=True):
        if now != handler:
            signal.signal(number, handler)


def _limits(which: Sequence[int]) -> list[tuple[int, int]]:
    return list(map(resource.getrlimit, which))


def _set_limits(which: Sequence[int], limits: Sequence[tuple[int, int]]) -> None:
    for number, limit in zip(which, limits, strict=True):
        if resource.getrlimit(number) != limit:
            resource.setrlimit(number, limit)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _wakeup() -> int:
    descriptor = signal.set_wakeup_fd(-1)
    if descriptor != -1:
        signal.set_wakeup_fd(descriptor)
    return descriptor


def _environment() -> dict[bytes, bytes] | None:
    return _bytes if os.environ is _environ else None


def _set_environment(values: Mapping[bytes, bytes]) -> None:
    os.environ = _environ  # noqa: B003 - the very object that the job has replaced
    for name in _bytes.keys() - values.keys():
        del os.environb[name]
    for name, value in values.items():
        if _bytes.get(name) != value:
            os.environb[name] = value


def _zone() -> tuple[Any, ...]:
    return time.timezone, time.altzone, time.daylight, time.tzname


def _set_zone(_zone: object) -> None:
    named = os.environ.get("TZ")
    if named is None:
        os.unsetenv("TZ")  # which C code may have set, behind the back of os.environ
    else:
        os.putenv("TZ", named)
    time.tzset()


class _Stdin:
    """sys.stdin and its descriptor, which is that of /dev/null."""

    def __init__(self) -> None:
        self._stream = sys.stdin

    def read(self) -> object:
        try:
            found = os.fstat(0)
            inherited = os.get_inheritable(0)
        except OSError:
            return None
        return found.st_dev, found.st_ino, inherited, sys.stdin is self._stream and not sys.stdin.closed

    def write(self, _value: object) -> None:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.dup2(descriptor, 0)
        if descriptor:
            os.close(descriptor)
        os.set_inheritable(0, True)
        if self._stream.closed:
            self._stream = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - it stays open
        sys.stdin = self._stream


def quick_traits() -> Sequence[Trait]:
    """Return the traits that are compared after each run."""
    stdin = _Stdin()
    return (
        Trait("a timer", _timers, _stop_timers),
        Trait("its user or group", _ids, _set_ids),
        Trait("its signal mask", _mask, _set_mask),
        Trait("a signal wakeup descriptor", _wakeup, signal.set_wakeup_fd),
        Trait("signal handlers", _handlers, _set_handlers),
        Trait("resource limits", partial(_limits, _LIMITS), partial(_set_limits, _LIMITS)),
        Trait("the umask", _umask, os.umask),
        Trait("the CPU affinity", partial(os.sched_getaffinity, 0), partial(os.sched_setaffinity, 0)),
        Trait(
            "the niceness",
            partial(os.getpriority, os.PRIO_PROCESS, 0),
            partial(os.setpriority, os.PRIO_PROCESS, 0),
        ),
        Trait("the environment", _environment, _set_environment),
        Trait("the time zone", _zone, _set_zone),
        Trait(
            "the locale", partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)
        ),
        Trait("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
        *interpreter_traits(),
        Trait("standard input", stdin.read, stdin.write),
    )


def slow_traits() -> Sequence[Trait]:
    """Return the traits that are compared now and then."""
    return (
        *kernel_traits(),
        Trait("more resource limits", partial(_limits, _MORE_LIMITS), partial(_set_limits, _MORE_LIMITS)),
        *seldom_changed_traits(),
    )
