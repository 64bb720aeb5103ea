"""Jobs that bend their process, in one way each, and one that looks at what it finds."""

import asyncio
import builtins
import contextvars
import ctypes
import decimal
import faulthandler
import fcntl
import gc
import io
import locale
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.jobs import JobContext, job
from headrace.jobs import resource as shared

_libc = ctypes.CDLL(None)
_word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="")
_kept: list[Any] = []
LONG = 0.025


def _prctl(option: int, value: int) -> None:
    assert _libc.prctl(option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0))) == 0


def _limit(which: int, soft: int) -> None:
    resource.setrlimit(which, (soft, resource.getrlimit(which)[1]))


def _zone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def _many_descriptors() -> None:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _kept.extend(os.dup(1) for _ in range(soft * 2 // 3))


def _posix_timer() -> None:
    # SIGEV_NONE: it tells nobody, and is there.
    event = (ctypes.c_int * 16)(0, 0, 0, 1)
    assert ctypes.CDLL("libc.so.6").timer_create(1, ctypes.byref(event), ctypes.byref(ctypes.c_void_p())) == 0


def _foreign_handler() -> None:
    _libc.signal.restype = ctypes.c_void_p
    _libc.signal(signal.SIGUSR2, ctypes.c_void_p(1))


def _blocked_and_sent() -> None:
    sys.stdout.write("a line without an end, for which the worker starts a thread")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGUSR1)


def _replaced_environment() -> None:
    os.environ = {"PATH": "/nowhere"}  # type: ignore[assignment] # noqa: B003 - as somebody may do


BENT: dict[str, Callable[[], object]] = {
    "alarm": lambda: signal.alarm(1),
    "interval timer": lambda: signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01),
    "watchdog": lambda: faulthandler.dump_traceback_later(0.5, exit=True),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT}),
    "mask with a signal behind it": _blocked_and_sent,
    "SIGCHLD ignored": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    "SIGTERM ignored": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "SIGINT ignored": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "SIGPIPE by default": lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
    "handler": lambda: signal.signal(signal.SIGUSR1, print),
    "memory": lambda: _limit(resource.RLIMIT_AS, 1 << 29),
    "files": lambda: _limit(resource.RLIMIT_NOFILE, 3),
    "file size": lambda: _limit(resource.RLIMIT_FSIZE, 0),
    "processes": lambda: _limit(resource.RLIMIT_NPROC, 1),
    "umask": lambda: os.umask(0o777),
    "nice": lambda: os.nice(5),
    "affinity": lambda: os.sched_setaffinity(0, [max(os.sched_getaffinity(0))]),
    "cwd": lambda: os.chdir("/"),
    "environment": lambda: os.environ.update(PATH="/nowhere", NEW="1"),
    "environment emptied": os.environ.clear,
    "environment replaced": _replaced_environment,
    "time zone": _zone,
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if _plain_locale() else "C"),
    "context variable": lambda: _word.set("bent"),
    "decimal": lambda: setattr(decimal.getcontext(), "prec", 3),
    "encoding": lambda: sys.stdout.reconfigure(encoding="ascii", errors="strict"),  # type: ignore[union-attr]
    "stdout closed": sys.stdout.close,
    "stdout replaced": lambda: setattr(sys, "stdout", io.StringIO()),
    "descriptor 1 closed": lambda: os.close(1),
    "descriptor 0 closed": lambda: os.close(0),
    "stdin closed": sys.stdin.close,
    "socket timeout": lambda: socket.setdefaulttimeout(0.001),
    "user": lambda: os.setresuid(1, 1, 0),
    "group": lambda: os.setresgid(1, 1, 0),
    "recursion": lambda: sys.setrecursionlimit(200),
    "collector": gc.disable,
    "logging off": lambda: logging.disable(logging.CRITICAL),
    "logging set up": lambda: logging.basicConfig(level=logging.DEBUG),
    "warnings": lambda: warnings.simplefilter("error"),
    "path": lambda: sys.path.insert(0, "/nowhere"),
    "arguments": lambda: sys.argv.append("--bent"),
    "hook": lambda: setattr(sys, "excepthook", print),
    "faulthandler off": faulthandler.disable,
    "waiting for no room": lambda: os.set_blocking(1, False),
    "stdin of programs": lambda: os.set_inheritable(0, False),
    "first stdout": lambda: delattr(sys, "__stdout__"),
    "finders": sys.meta_path.clear,
    "callbacks of the collector": lambda: gc.callbacks.append(print),
    "tracing of threads": lambda: (threading.settrace(_no_trace), threading.stack_size(1 << 20)),
    "tracing of memory": tracemalloc.start,
    "hooks of generators": lambda: sys.set_asyncgen_hooks(print, print),
    "class of loggers": lambda: logging.setLoggerClass(type("Other", (logging.Logger,), {})),
    "records of loggers": lambda: logging.setLogRecordFactory(lambda *_arguments: None),  # type: ignore[arg-type,return-value]
    "warnings to the log": lambda: logging.captureWarnings(True),
    "running loop": lambda: asyncio._set_running_loop(asyncio.new_event_loop()),
    "folder of tempfile": lambda: setattr(tempfile, "tempdir", "/nowhere"),
    "policy": lambda: asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy()),
}
"""What is put back after a run of any length."""

BENT_LONG: dict[str, Callable[[], object]] = {
    "built-in name": lambda: setattr(builtins, "sorted", None),
    "zone of C code": lambda: (os.putenv("TZ", "Asia/Tokyo"), time.tzset()),
    "name": lambda: _libc.prctl(15, b"bent"),
    "parent's end": lambda: _prctl(1, 0),
    "subreaper": lambda: _prctl(36, 0),
    "dumpable": lambda: _prctl(4, 0),
    "timer slack": lambda: _prctl(29, 1_000_000),
    "variable of C": lambda: os.putenv("BENT", "1"),
    "scheduler": lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
    "I/O priority": lambda: _libc.syscall(251 if os.uname().machine == "x86_64" else 30, 1, 0, 3 << 13),
    "out of memory": lambda: Path("/proc/self/oom_score_adj").write_text("500"),
    "core size": lambda: resource.setrlimit(
        resource.RLIMIT_MEMLOCK, (0, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1])
    ),
    "decimal template": lambda: setattr(decimal.DefaultContext, "prec", 3),
}
"""What is put back after a run of more than 20 ms."""

FOR_GOOD: dict[str, Callable[[], object]] = {
    "descriptors": _many_descriptors,
    "descriptor of the worker closed": lambda: os.close(_own_folder()),
    "no new privileges": lambda: _prctl(38, 1),
    "signal ignored by C code": _foreign_handler,
    "timer of POSIX": _posix_timer,
    "traced": lambda: _libc.ptrace(0, 0, 0, 0),
}
"""What cannot be put back."""


def _no_trace(*_arguments: object) -> None:
    return None


def _plain_locale() -> bool:
    return locale.setlocale(locale.LC_ALL) == "C"


def _own_folder() -> int:
    """The descriptor of the worker's folder."""
    here = Path.cwd().stat()
    links = [link for link in Path("/proc/self/fd").iterdir() if int(link.name) > 2 and link.exists()]
    return next(int(link.name) for link in links if os.path.samestat(link.stat(), here))


@job("bend")
def bend(ctx: JobContext, how: str) -> int:
    """Bend one thing."""
    del ctx
    pid = os.getpid()
    if how in BENT:
        BENT[how]()
    else:
        (BENT_LONG | FOR_GOOD)[how]()
        time.sleep(LONG)
    return pid


@shared
def setting() -> str:
    """Something that needs its variable, and its handler, for as long as it lives."""
    os.environ["OF_THE_RESOURCE"] = "1"
    signal.signal(signal.SIGUSR2, print)
    return "made"


@job("use-setting")
def use_setting(ctx: JobContext, other: str) -> dict[str, Any]:
    """Use it, and bend something beside it."""
    os.environ[f"OTHER_{other}"] = "1"
    _ = ctx.resources.setting
    return {
        "names": sorted(name for name in os.environ if name.startswith("OTHER_")),
        "own": os.environ["OF_THE_RESOURCE"],
    }


@job("look")
def look(ctx: JobContext) -> dict[str, Any]:
    """Say what there is."""
    del ctx
    signals = sorted(signal.valid_signals())
    text = io.StringIO()
    pointed = ctypes.c_int()
    name = ctypes.create_string_buffer(16)
    _libc.prctl(16, name, 0, 0, 0)
    found: dict[str, Any] = {}
    for number in (2, 37):
        _libc.prctl(number, ctypes.byref(pointed), *map(ctypes.c_ulong, (0, 0, 0)))
        found[f"prctl {number}"] = pointed.value
    for number in (3, 30, 39):
        found[f"prctl {number}"] = _libc.prctl(number, *map(ctypes.c_ulong, (0, 0, 0, 0)))
    status = Path("/proc/self/status").read_text().splitlines()
    print("straight", file=text)
    return found | {
        "pid": os.getpid(),
        "name": name.value.decode(),
        "timers": [signal.getitimer(which) for which in range(3)],
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "handlers": [str(signal.getsignal(number)) for number in signals],
        "kernel's signals": [line for line in status if line.startswith(("SigBlk", "SigIgn"))],
        "limits": [resource.getrlimit(number) for number in range(16)],
        "umask": _umask(),
        "nice": os.nice(0),
        "affinity": sorted(os.sched_getaffinity(0)),
        "cwd": str(Path.cwd()),
        "environment": dict(os.environ),
        "of C": os.popen("env").read().count("BENT"),  # noqa: S605 - what a program sees
        "zone": time.tzname,
        "locale": locale.setlocale(locale.LC_ALL),
        "context": _word.get(),
        "decimal": [decimal.getcontext().prec, decimal.DefaultContext.prec],
        "stdout": [sys.stdout.encoding, sys.stdout.errors, sys.stdout.fileno(), sys.stdin.closed],
        "descriptors": [str(Path(f"/proc/self/fd/{number}").readlink()) for number in range(3)],
        "timeout": socket.getdefaulttimeout(),
        "user": [os.getresuid(), os.getresgid()],
        "recursion": sys.getrecursionlimit(),
        "collector": gc.isenabled(),
        "logging": [logging.root.level, logging.root.manager.disable, len(logging.root.handlers)],
        "warnings": len(warnings.filters),
        "path": sys.path,
        "arguments": sys.argv,
        "hook": sys.excepthook is sys.__excepthook__,
        "faulthandler": faulthandler.is_enabled(),
        "policy": asyncio.events._event_loop_policy is None,  # type: ignore[attr-defined] # not public
        "builtins": [len(vars(builtins)), callable(builtins.sorted)],
        "flags": [fcntl.fcntl(number, flag) for number in (1, 2) for flag in (fcntl.F_GETFL, fcntl.F_GETFD)],
        "inherited": os.get_inheritable(0),
        "first stdout": sys.stdout is sys.__stdout__,
        "finders": len(sys.meta_path),
        "callbacks": len(gc.callbacks),
        "tracing": [threading.gettrace(), threading.stack_size(), tracemalloc.is_tracing()],
        "generators": list(sys.get_asyncgen_hooks()),
        "loggers": [str(logging.getLoggerClass()), str(logging.getLogRecordFactory())],
        "warned": warnings.showwarning.__module__,
        "running loop": asyncio._get_running_loop() is None,
        "tempfile": tempfile.tempdir != "/nowhere",
        "hour": time.localtime(0).tm_hour,
        "scheduler": os.sched_getscheduler(0),
        "out of memory": Path("/proc/self/oom_score_adj").read_text(),
        "I/O priority": _libc.syscall(252 if os.uname().machine == "x86_64" else 31, 1, 0),
    }


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
