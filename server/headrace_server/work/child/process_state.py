"""Put back what a run has changed about its process.

What cannot be put back is a reason to replace the worker.

    worker loaded ──> values kept ──> run ──> compared ──> equal, as a rule
                                                 └─ differs ──> put back, compared again ──> still differs: replaced

Two lists (`process_traits`): what a system call answers is compared after each run, for some 18 us
together, the share of the rest at each 64th run included; what costs more (files of /proc, every
descriptor) after runs of over 20 ms, each 64th run, and when something of the first list had
changed. A resource that is made in the middle of a run may change the process for good: what
changes while it is made is the new value to compare with.

Descriptors are counted, not compared: closing one that an object of Python still holds would harm
whoever has its number next, and a connection that a module keeps is no fault. A worker that has
used up half of them is replaced.
"""

import contextlib
import contextvars
import decimal
import fcntl
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LONG = 0.020
"""Seconds of a run after which everything is compared."""
EACH = 64
"""Of the short runs, each so manieth."""

_FIRST_OWN = 3
_DESCRIPTORS = "open descriptors"
_CLOSED = "closed descriptors of the worker"


@dataclass(frozen=True, slots=True)
class Trait:
    """A property of the process.

    `read` returns its value; `write` puts a value back or raises, and is None where it can't be put
    back.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class Remains:
    """The names of what a run had changed: those put back, and those that could not be."""

    put_back: Sequence[str]
    stay: Sequence[str]


UNTOUCHED = Remains((), ())


class ProcessState:
    """The process as it was when this object was made.

    `own`: descriptors that the worker cannot do without.
    """

    def __init__(self, quick: Sequence[Trait], slow: Sequence[Trait], own: Sequence[int]) -> None:
        self._quick = quick
        self._slow = slow
        self._own = own
        self._quick_reads = [trait.read for trait in quick]
        self._quick_kept = [kept(trait.read()) for trait in quick]
        self._slow_kept = [kept(trait.read()) for trait in slow]
        self._files = [os.fstat(fd)[1:3] for fd in own]
        self._lowest = self._lowest_free()
        self._runs = 0
        self._decimal = decimal.getcontext().copy()

    def call(self, code: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Call code of a run in a context of its own.

        What the code sets in context variables, the context of decimal among them, is its own.
        """

        def within() -> T:
            self.prepare()
            return code(*arguments, **named)

        return contextvars.copy_context().run(within)

    def prepare(self) -> None:
        """Give the present context a context of decimal of its own."""
        # Not only the variable is copied: the object in it can be changed in place.
        decimal.setcontext(self._decimal.copy())

    def restore(self, seconds: float) -> Remains:
        """Put back what a run of so long has changed."""
        self._runs += 1
        put_back: list[str] = []
        stay: list[str] = []
        if not self._is_untouched():
            _compare(self._quick, self._quick_kept, put_back, stay)
        lowest = self._lowest_free()
        if seconds > LONG or put_back or stay or lowest != self._lowest or self._runs % EACH == 0:
            _compare(self._slow, self._slow_kept, put_back, stay)
            stay += self._descriptors(lowest)
        return Remains(put_back, stay) if put_back or stay else UNTOUCHED

    def _is_untouched(self) -> bool:
        try:
            return [read() for read in self._quick_reads] == self._quick_kept
        except Exception:  # noqa: BLE001 - it is looked at one by one then
            return False

    @contextlib.contextmanager
    def adopting(self) -> Iterator[None]:
        """Treat what changes within this block as meant to stay."""
        lists = ((self._quick, self._quick_kept), (self._slow, self._slow_kept))
        before = [[kept(trait.read()) for trait in traits] for traits, _ in lists]
        try:
            yield
        finally:
            for (traits, values), old in zip(lists, before, strict=True):
                for index, trait in enumerate(traits):
                    now = kept(trait.read())
                    if now != old[index]:
                        values[index] = _merged(values[index], old[index], now)

    def _lowest_free(self) -> int | None:
        """The lowest free descriptor; None where there is none."""
        try:
            lowest = fcntl.fcntl(self._own[0], fcntl.F_DUPFD_CLOEXEC, _FIRST_OWN)
        except OSError:
            return None
        os.close(lowest)
        return lowest

    def _descriptors(self, lowest: int | None) -> list[str]:
        """Return what is wrong with the descriptors and cannot be put right."""
        try:
            files = [os.fstat(fd)[1:3] for fd in self._own]
        except OSError:
            return [_CLOSED]
        if files != self._files:
            return [_CLOSED]
        if lowest is None:
            return [_DESCRIPTORS]
        self._lowest = lowest
        try:
            count = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path objects would open more
        except OSError:  # the run has left no way to /proc
            return [_DESCRIPTORS]
        return [_DESCRIPTORS] if count * 2 > resource.getrlimit(resource.RLIMIT_NOFILE)[0] else []


def kept(value: Any) -> Any:
    """A value as it is now: what can change in place is copied."""
    return value.copy() if isinstance(value, dict | list) else value


def _compare(traits: Sequence[Trait], values: Sequence[Any], put_back: list[str], stay: list[str]) -> None:
    for trait, value in zip(traits, values, strict=True):
        if not _is(trait, value):
            (put_back if _written(trait, value) else stay).append(trait.name)


def _is(trait: Trait, value: Any) -> bool:
    """Return whether a trait has this value.

    A trait that cannot be read any more has another.
    """
    try:
        return bool(trait.read() == value)
    except Exception:  # noqa: BLE001 - a run may have left no way to /proc
        return False


def _written(trait: Trait, value: Any) -> bool:
    """Put a value back; whether it is there now."""
    if trait.write is None:
        return False
    try:
        trait.write(kept(value))
        return bool(trait.read() == value)
    except Exception:  # noqa: BLE001 - whatever it is that keeps it from being put back
        return False


def _merged(kept_value: Any, old: Any, new: Any) -> Any:
    """Return the value to compare with from now on.

    Of several values in a dict or list, only those that have changed are taken over.
    """
    values = (kept_value, old, new)
    if all(isinstance(value, dict) for value in values):
        changed = {name: new[name] for name in new if name not in old or old[name] != new[name]}
        return {name: value for name, value in kept_value.items() if name in new or name not in old} | changed
    if all(isinstance(value, list) and len(value) == len(new) for value in values):
        return [kept_value[i] if old[i] == new[i] else new[i] for i in range(len(new))]
    return new
