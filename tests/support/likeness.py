"""What a process is like, beside what it holds: the next test finds it as this one has left it."""

import gc
import locale
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Hashable, Iterator
from types import ModuleType
from typing import Final

_ALL_SIGNALS: Final = tuple(sorted(signal.valid_signals() - {signal.SIGALRM}))  # that one is pytest-timeout's
_LIMITS: Final = tuple(
    (name, getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")
)


class Likeness:
    """The traits of this process at one moment."""

    def __init__(self) -> None:
        self._traits = dict(_traits())
        self._loggers = {name: logger.level for name, logger in _loggers()}
        self._modules = dict(sys.modules)

    def changed(self, folder: str) -> list[str]:
        """What is otherwise now, in words; folder: whose modules are of one test, so none may stay
        that is from there.
        """
        now = dict(_traits())
        # A logger that is new may have come with a library, and have the level that this one gives
        # it.
        levels = {name: logger.level for name, logger in _loggers() if name in self._loggers}
        return [
            *(what for what, trait in self._traits.items() if now[what] != trait),
            *(f"level of logger {name}" for name, level in levels.items() if self._loggers[name] != level),
            *(f"module {name}" for name in self._changed_modules(folder)),
        ]

    def _changed_modules(self, folder: str) -> Iterator[str]:
        now = dict(sys.modules)
        yield from (name for name, module in self._modules.items() if now.get(name, self) is not module)
        yield from (name for name in now.keys() - self._modules.keys() if _file(now[name]).startswith(folder))


def _traits() -> Iterator[tuple[str, Hashable]]:
    for number in _ALL_SIGNALS:
        yield f"handler of signal {number}", signal.getsignal(number)
    for name, limit in _LIMITS:
        yield name, resource.getrlimit(limit)
    yield "signal mask", frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    yield "working directory", _directory()
    yield "umask", _umask()
    yield "priority", os.getpriority(os.PRIO_PROCESS, 0)
    yield "processors", frozenset(os.sched_getaffinity(0))
    yield "locale", locale.setlocale(locale.LC_ALL)
    yield "default timeout of sockets", socket.getdefaulttimeout()
    yield "collection of garbage", (gc.isenabled(), gc.get_threshold())
    yield "import path", tuple(sys.path)
    yield "recursion limit", sys.getrecursionlimit()
    yield "hooks", (sys.excepthook, threading.excepthook)
    yield "level of all loggers", (logging.root.level, logging.root.manager.disable)
    yield "handlers of all loggers", _handlers()


def _handlers() -> Hashable:
    """But those of pytest, which come and go with the phases of a test."""
    return tuple(each for each in logging.root.handlers if not type(each).__module__.startswith("_pytest"))


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            yield name, logger


def _file(module: ModuleType | None) -> str:
    return str(getattr(module, "__file__", None) or "")


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - after each test: cheap
    except FileNotFoundError:
        return "one that is gone"


def _umask() -> str:
    with open("/proc/self/status") as file:  # noqa: PTH123 - cheap; os.umask would change it for a moment
        return next(line for line in file if line.startswith("Umask"))
