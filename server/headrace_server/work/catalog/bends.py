"""Detect, undo where possible, and report what a module's import changes in its process.

In the loader that keeps the next module straight. A worker imports the same modules and stays as
they make it, but for what it cannot do without (necessities): the sentences say what is true of it.
"""

import contextlib
import json
import logging
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pydantic

from headrace_server.work.child.necessities import PUT_BACK, Necessities

_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_OWN: Final = frozenset({signal.SIGKILL, signal.SIGSTOP})
_LIMITS: Final = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_PATCHED: Final[tuple[tuple[Any, str], ...]] = (
    (threading, "Thread"),
    (threading.Thread, "start"),
    (threading, "Lock"),
    (socket, "socket"),
    (select, "select"),
    (subprocess, "Popen"),
    (time, "sleep"),
    (os, "fork"),
    (os, "_exit"),
)

_NEEDED: Final[tuple[tuple[Any, str], ...]] = (
    (json, "dumps"),
    (json, "loads"),
    (json.JSONEncoder, "encode"),
    (json.JSONDecoder, "decode"),
    (pydantic, "TypeAdapter"),
    (pydantic.TypeAdapter, "validate_python"),
    (pydantic.TypeAdapter, "dump_python"),
    (pydantic.TypeAdapter, "json_schemas"),
)
"""The functions and classes that the loader itself uses.

They are put back after each import; otherwise the types of every other module would not load.
"""


@dataclass(frozen=True)
class State:
    """A process as it is before a module is imported."""

    handlers: dict[int, Any]
    mask: set[int]
    timeout: float | None
    folder: int
    umask: int
    limits: dict[str, tuple[int, int]]
    handlers_of_logs: list[logging.Handler]
    level_of_logs: int
    streams: tuple[Any, ...]
    parts: tuple[Any, ...]
    needed: tuple[Any, ...]
    recursion: int
    necessities: Necessities


def take() -> State:
    """Return the state of this process as it stands.

    `put_back` must follow: the working directory is held open until then.
    """
    root = logging.getLogger()
    return State(
        handlers=_handlers(),
        mask=_mask(),
        timeout=socket.getdefaulttimeout(),
        folder=os.open(".", os.O_RDONLY | os.O_CLOEXEC),
        umask=_umask(),
        limits={name: resource.getrlimit(number) for name, number in _LIMITS.items()},
        handlers_of_logs=list(root.handlers),
        level_of_logs=root.level,
        streams=(sys.stdin, sys.stdout, sys.stderr),
        parts=tuple(getattr(holder, name) for holder, name in _PATCHED),
        needed=tuple(vars(holder)[name] for holder, name in _NEEDED),
        recursion=sys.getrecursionlimit(),
        necessities=Necessities(),
    )


def put_back(before: State) -> list[str]:
    """Put back what can be, and return what was bent.

    Each item consists of words that follow the name of the module.
    """
    needed = before.necessities.put_back()  # first: to look takes some of it
    bent: list[str] = []
    for look in (_signals, _timers, _process, _logs, _parts, _needed, _recursion):
        with contextlib.suppress(OSError, ValueError):  # what cannot be put back is told all the same
            bent.extend(look(before))
    with contextlib.suppress(OSError):
        os.close(before.folder)
    return [*bent, *needed]


def sentences(bent: Sequence[str]) -> Iterator[str]:
    """Yield what to say of the workers of a module that bends its process so.

    Each text follows the name of the module.
    """
    if stay := [words for words in bent if words not in PUT_BACK]:
        yield f"{', '.join(stay)}: its workers run with that"
    if put_back := [words for words in bent if words in PUT_BACK]:
        yield f"{', '.join(put_back)}: its workers put that back"


def _signals(before: State) -> Iterator[str]:
    for number, handler in _handlers().items():
        if handler != before.handlers[number] and number not in _OWN:
            yield f"sets a handler for {_name(number)}"
            if before.handlers[number] is not None:
                signal.signal(number, before.handlers[number])
    mask = _mask()
    signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)
    if mask != before.mask:
        yield f"blocks or unblocks {', '.join(map(_name, sorted(mask ^ before.mask)))}"


def _timers(_before: State) -> Iterator[str]:
    for timer in _TIMERS:
        if signal.getitimer(timer)[0]:
            signal.setitimer(timer, 0)
            yield "sets an alarm"


def _process(before: State) -> Iterator[str]:
    if socket.getdefaulttimeout() != before.timeout:
        yield f"sets the default timeout of sockets to {socket.getdefaulttimeout()} s"
        socket.setdefaulttimeout(before.timeout)
    if _umask() != before.umask:
        yield f"sets the umask to {_umask():03o}"
        os.umask(before.umask)
    for name, limit in before.limits.items():
        if resource.getrlimit(_LIMITS[name]) != limit:
            yield f"sets {name}"
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(_LIMITS[name], limit)
    if not os.path.samestat(os.fstat(before.folder), os.stat(".")):  # noqa: PTH116 - beside a descriptor's
        yield "changes the working directory"
        os.fchdir(before.folder)


def _logs(before: State) -> Iterator[str]:
    root = logging.getLogger()
    if root.handlers != before.handlers_of_logs or root.level != before.level_of_logs:
        root.handlers[:] = before.handlers_of_logs
        root.setLevel(before.level_of_logs)
        yield "configures logging"
    if before.streams != (sys.stdin, sys.stdout, sys.stderr):
        sys.stdin, sys.stdout, sys.stderr = before.streams
        yield "replaces a standard stream"


def _parts(before: State) -> Iterator[str]:
    for (holder, name), part in zip(_PATCHED, before.parts, strict=True):
        if getattr(holder, name) is not part:
            yield f"replaces {holder.__name__}.{name}"
    # Not put back: a library that patches them would then be half patched.


def _needed(before: State) -> Iterator[str]:
    for (holder, name), part in zip(_NEEDED, before.needed, strict=True):
        if vars(holder).get(name) is not part:
            setattr(holder, name, part)
            yield f"replaces {holder.__name__}.{name}"


def _recursion(before: State) -> Iterator[str]:
    if sys.getrecursionlimit() != before.recursion:
        yield f"sets the recursion limit to {sys.getrecursionlimit()}"
        sys.setrecursionlimit(before.recursion)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _handlers() -> dict[int, Any]:
    return {int(number): signal.getsignal(number) for number in signal.valid_signals()}


def _mask() -> set[int]:
    return set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())))


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
