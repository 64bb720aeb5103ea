"""What a worker cannot do without, whatever the import of a module takes from it.

It is put back after each module, in the loader and in every worker: else the modules behind would
not load, or the worker would end before it is ready, again and again. What else a module changes
stays, and is what its jobs find.
"""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

FILES_LEAST: Final = 128
"""Descriptors: a worker has some ten open itself, and its jobs open more."""
MEMORY_LEAST: Final = 128 << 20
"""Bytes beyond what the process has mapped already."""

SECONDS_LEAST: Final = 60
"""Of processor time, beyond what the process has used: over it the kernel kills the worker, with
whatever job it runs.
"""

_FOLDERS: Final = "takes folders out of sys.path"
_FINDERS: Final = "takes finders out of sys.meta_path"
_TOO_LOW: Final = "sets {} too low for a worker"
_LIMITS: Final = ("RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_DATA")
_PAGE: Final = resource.getpagesize()

PUT_BACK: Final = frozenset((_FOLDERS, _FINDERS, *map(_TOO_LOW.format, _LIMITS)))
"""What `put_back` says of what is as before; all else that it says is true of the worker."""


class Necessities:
    """Those of this process, as they are before a module is imported."""

    def __init__(self) -> None:
        self._path = list(sys.path)
        self._finders = list(sys.meta_path)
        self._limits = {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}

    def put_back(self) -> list[str]:
        """Put back what is missing, and answer what that was.

        Each answer is words that follow the name of the module.
        """
        return [*self._room(), *self._imports()]

    def _room(self) -> Iterator[str]:
        for name, before in self._limits.items():
            number = getattr(resource, name)
            now = resource.getrlimit(number)
            if now == before or not _lower(now[0], before[0]):
                continue
            # First as before: to see how much is in use takes some of it.
            raised = _raise(number, before, now)
            if not _too_low(name, now[0]):
                resource.setrlimit(number, now)
            elif raised:
                yield _TOO_LOW.format(name)
            else:
                yield f"{_TOO_LOW.format(name)}, for good"

    def _imports(self) -> Iterator[str]:
        # What is put in stays: the modules behind may count on it.
        lists: tuple[tuple[str, list[Any], list[Any]], ...] = (
            (_FOLDERS, sys.path, self._path),
            (_FINDERS, sys.meta_path, self._finders),
        )
        for words, now, then in lists:
            if missing := [one for one in then if one not in now]:
                now.extend(missing)
                yield words


def _lower(one: int, other: int) -> bool:
    return one != resource.RLIM_INFINITY and (other == resource.RLIM_INFINITY or one < other)


def _raise(number: int, before: tuple[int, int], now: tuple[int, int]) -> bool:
    """Raise a limit to what it was, or as far as it goes; whether it is enough now."""
    for limit in (before, (before[0], now[1]), (now[1], now[1])):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, limit)
            return limit[0] == before[0]
    return False


def _too_low(name: str, limit: int) -> bool:
    if name == "RLIMIT_NOFILE":
        return limit < FILES_LEAST
    if name == "RLIMIT_CPU":
        return limit < time.process_time() + SECONDS_LEAST
    with contextlib.suppress(OSError):
        statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, _resident, _shared, _text, _lib, data, _dirty = map(int, os.read(statm, 128).split())
        finally:
            os.close(statm)
        return limit < (size if name == "RLIMIT_AS" else data) * _PAGE + MEMORY_LEAST
    return False
