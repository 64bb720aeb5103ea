"""Jobs that leave their streams, and the exceptions that they raise, in every bad state."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from headrace.jobs import DeclaredAbort, DeclaredFailure, JobContext, job


class Rude:
    """A stream of which everything raises."""

    def __getattr__(self, name: str) -> NoReturn:
        raise KeyboardInterrupt(name)


class Loop:
    """A stream that logs what is written to it."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx

    def write(self, text: str) -> int:
        """Log it."""
        self._ctx.message("info", text)
        return len(text)

    def flush(self) -> None:
        """Log that too."""
        self._ctx.message("info", "flush")


def close_descriptors() -> None:
    """Close what the streams write to, and print all the same."""
    os.close(1)
    os.close(2)
    with contextlib.suppress(OSError):
        print("lost?")


def replace_streams(stream: Any) -> None:
    """Put something in the place of both."""
    sys.stdout = sys.stderr = stream


def delete_streams() -> None:
    """Have none at all."""
    del sys.stdout, sys.stderr


STREAMS: Mapping[str, Callable[[Any, JobContext], object]] = {
    "closed": lambda out, _ctx: (out.close(), sys.stderr.close()),
    "detached": lambda out, _ctx: (out.detach(), cast("Any", sys.stderr).detach()),
    "buffer detached": lambda out, _ctx: out.buffer.detach(),
    "deleted": lambda _out, _ctx: delete_streams(),
    "none": lambda _out, _ctx: replace_streams(None),
    "rude": lambda _out, _ctx: replace_streams(Rude()),
    "loop": lambda _out, ctx: replace_streams(Loop(ctx)),
    "encoding": lambda out, _ctx: (
        out.reconfigure(encoding="utf-16", errors="strict", line_buffering=False),
        out.write("held"),
    ),
    "descriptors": lambda _out, _ctx: close_descriptors(),
}


@job("bend-streams")
def bend_streams(ctx: JobContext, how: str) -> str:
    """Leave stdout and stderr in a bad state."""
    print("said before")
    STREAMS[how](sys.stdout, ctx)
    return "done"


class SilentError(Exception):
    """One that cannot be put into words."""

    def __str__(self) -> str:
        raise KeyboardInterrupt("__str__")

    __repr__ = __str__


class _Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in {"__module__", "__qualname__"}:
            raise SystemExit(name)
        return super().__getattribute__(name)


class NamelessError(Exception, metaclass=_Nameless):
    """One whose class has no name."""


class HiddenError(Exception):
    """One of which nothing can be asked."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise KeyboardInterrupt(name)


class UntracedError(Exception):
    """One that does not say where it was raised, nor why."""

    @property
    def __traceback__(self) -> NoReturn:  # type: ignore[override] # on purpose
        """Nothing."""
        raise SystemExit(7)

    __cause__ = __context__ = __traceback__  # type: ignore[assignment] # likewise


class EmptyGroupError(ExceptionGroup[Exception]):
    """A group that says nothing of its exceptions."""

    @property
    def exceptions(self) -> NoReturn:  # type: ignore[override] # on purpose
        """Nothing."""
        raise SystemExit(7)


def nested(error: BaseException, depth: int) -> BaseException:
    """An error in a group in a group."""
    for _ in range(depth):
        error = BaseExceptionGroup("deeper", [error])
    return error


def chained(length: int) -> BaseException:
    """An error with many causes."""
    error: BaseException = ValueError("the first")
    for number in range(length):
        last = ValueError(number)
        last.__cause__ = error
        error = last
    return error


def low() -> BaseException:
    """An error in a process that has hardly any stack left."""
    sys.setrecursionlimit(40)
    return ValueError("low")


ERRORS: Mapping[str, Callable[[], BaseException]] = {
    "silent": SilentError,
    "hidden": lambda: HiddenError("words"),
    "untraced": lambda: UntracedError("words"),
    "nameless": lambda: NamelessError("words"),
    "group": lambda: EmptyGroupError("group", [ValueError()]),
    "abort": lambda: DeclaredAbort(SilentError()),
    "deep": lambda: nested(ValueError(), 100_000),
    "declared": lambda: nested(DeclaredFailure("deep", "said in a deep group", retry=False), 5_000),
    "chained": lambda: chained(20_000),
    "recursion limit": low,
}


@job("raise-badly")
def raise_badly(ctx: JobContext, how: str) -> None:
    """Raise what is hard to describe."""
    del ctx
    error = ERRORS[how]()
    raise error


@job("order")
def order(ctx: JobContext, rounds: int) -> None:
    """Say things in turn, by print and by message."""
    for number in range(rounds):
        print(number, "print")
        ctx.message("info", f"{number} message")
        if number % 3 == 0:
            print(number, "error", file=sys.stderr)
            ctx.message("info", f"{number} second message")
        if number % 5 == 0:
            sys.stdout.write(f"{number} begun, ")
            ctx.message("info", f"{number} in between")
            print("ended")


@job("bar")
def bar(ctx: JobContext, seen: str) -> None:
    """Draw a bar, wait until somebody has seen it, end it."""
    del ctx
    sys.stdout.write("working")
    for number in range(100):
        sys.stderr.buffer.write(b"\r%d %%" % number)
    while not Path(seen).exists():
        time.sleep(0.005)
    print(" done")
    sys.stderr.write("\r100 %\n")
