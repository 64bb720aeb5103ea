"""Read and restore what the interpreter and its library keep for the whole process.

These are settings, hooks, logging, warnings and asyncio.
"""

import asyncio
import builtins
import decimal
import faulthandler
import gc
import logging
import os
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from headrace_server.work.child.process_state import Trait


def _attribute(name: str, owner: object, attribute: str) -> Trait:
    """A value that is simply an attribute of a module."""
    return Trait(name, lambda: getattr(owner, attribute), partial(setattr, owner, attribute))


def _contents(name: str, values: Callable[[], list[Any]]) -> Trait:
    """A list whose contents count."""

    def write(value: list[Any]) -> None:
        values()[:] = value

    return Trait(name, values, write)


def _settings() -> tuple[Any, ...]:
    return (
        sys.getrecursionlimit(),
        sys.dont_write_bytecode,
        sys.get_coroutine_origin_tracking_depth(),
        sys.get_asyncgen_hooks(),
        tracemalloc.is_tracing(),
        threading.gettrace(),
        threading.getprofile(),
        threading.stack_size(),
        sys.getswitchinterval(),
        sys.get_int_max_str_digits(),
        sys.gettrace(),
        sys.getprofile(),
        gc.isenabled(),
        gc.get_threshold(),
        gc.get_debug(),
    )


def _set_settings(values: tuple[Any, ...]) -> None:
    recursion, unwritten, depth, hooks, traced, *others = values
    thread_trace, thread_profile, stack, interval, digits, trace, profile, collects, threshold, debug = others
    sys.setrecursionlimit(recursion)
    sys.dont_write_bytecode = unwritten
    sys.set_coroutine_origin_tracking_depth(depth)
    sys.set_asyncgen_hooks(*hooks)
    if not traced:
        tracemalloc.stop()
    threading.settrace(thread_trace)
    threading.setprofile(thread_profile)
    threading.stack_size(stack)
    sys.setswitchinterval(interval)
    sys.set_int_max_str_digits(digits)
    sys.settrace(trace)
    sys.setprofile(profile)
    (gc.enable if collects else gc.disable)()
    gc.set_threshold(*threshold)
    gc.set_debug(debug)


def _logging() -> tuple[Any, ...]:
    root = logging.getLogger()
    return (
        root.level,
        root.disabled,
        root.manager.disable,
        tuple(root.handlers),
        tuple(root.filters),
        logging.getLoggerClass(),
        logging.getLogRecordFactory(),
        logging.lastResort,
        logging.raiseExceptions,
    )


def _set_logging(values: tuple[Any, ...]) -> None:
    root = logging.getLogger()
    level, root.disabled, disable, handlers, filters, loggers, records, *others = values
    logging.setLoggerClass(loggers)
    logging.setLogRecordFactory(records)
    logging.lastResort, logging.raiseExceptions = others
    root.setLevel(level)
    logging.disable(disable)
    root.handlers[:] = handlers
    root.filters[:] = filters


def _showing() -> tuple[Any, ...]:
    return warnings.showwarning, warnings.formatwarning, logging._warnings_showwarning  # type: ignore[attr-defined] # noqa: SLF001 - what captureWarnings keeps


def _set_showing(values: tuple[Any, ...]) -> None:
    warnings.showwarning, warnings.formatwarning, logging._warnings_showwarning = values  # type: ignore[attr-defined] # noqa: SLF001 - as above


def _set_warnings(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index] # a list, whatever the stubs say
    warnings._filters_mutated()  # type: ignore[attr-defined] # noqa: SLF001 - else old answers are remembered


_DECIMALS = (decimal.DefaultContext, decimal.BasicContext, decimal.ExtendedContext)


def _decimals() -> str:
    return repr(_DECIMALS)


def _set_decimals() -> Callable[[Any], None]:
    copies = [context.copy() for context in _DECIMALS]

    def write(_value: Any) -> None:
        for context, copy in zip(_DECIMALS, copies, strict=True):
            for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp"):
                setattr(context, name, getattr(copy, name))
            context.traps, context.flags = copy.traps.copy(), copy.flags.copy()

    return write


def _set_faulthandler(on: bool) -> None:
    if on:
        faulthandler.enable(file=2)
    else:
        faulthandler.disable()


_events: Any = asyncio.events


class _Loops:
    """The policy of event loops, and the loop that the main thread has by it.

    A loop that still runs was left by code that patches loops.
    """

    def __init__(self) -> None:
        self._had_policy = _events._event_loop_policy is not None  # noqa: SLF001 - asking makes one

    def read(self) -> tuple[Any, ...]:
        policy = _events._event_loop_policy  # noqa: SLF001 - as above
        local = getattr(policy, "_local", None)
        loop = getattr(local, "_loop", None), getattr(local, "_set_called", False)
        if not self._had_policy and type(policy) is asyncio.DefaultEventLoopPolicy and loop[0] is None:
            policy = _events._event_loop_policy = None  # noqa: SLF001 - made by asyncio.run, and by asking
            loop = None, False
        return policy, loop, _events._get_running_loop()  # noqa: SLF001 - the one that raises nothing

    def write(self, values: tuple[Any, ...]) -> None:
        policy, loop, running = values
        _events._set_running_loop(running)  # noqa: SLF001 - there is no other way
        asyncio.set_event_loop_policy(policy)
        local = getattr(policy, "_local", None)
        if local is not None:
            local._loop, local._set_called = loop  # noqa: SLF001 - set_event_loop would count as a call


class _Temporary:
    """The folder that tempfile has chosen.

    It must be restored too: a variable of the environment that is put back would live on in it.
    """

    def __init__(self) -> None:
        names = ("TMPDIR", "TEMP", "TMP")
        self._usual = next(filter(None, map(os.environ.get, names)), "/tmp")  # noqa: S108 - as tempfile looks

    def read(self) -> Any:
        folder = getattr(sys.modules.get("tempfile"), "tempdir", None)
        return None if folder == self._usual else folder

    def write(self, folder: Any) -> None:
        sys.modules["tempfile"].tempdir = folder  # type: ignore[attr-defined] # of a module that may not be there


class _Builtins:
    """The built-in names, which every module can use.

    Names that were added are left to the code that has added them.
    """

    def __init__(self) -> None:
        self._kept = dict(vars(builtins))

    def read(self) -> bool:
        now = vars(builtins)
        return all(now.get(name) is value for name, value in self._kept.items())

    def write(self, _value: bool) -> None:
        vars(builtins).update(self._kept)


def interpreter_traits() -> Sequence[Trait]:
    """Return the traits that are compared after each run."""
    loops, folder = _Loops(), _Temporary()
    return (
        Trait("settings of the interpreter", _settings, _set_settings),
        Trait("the settings of logging", _logging, _set_logging),
        Trait("filters of warnings", lambda: warnings.filters, _set_warnings),
        Trait("the showing of warnings", _showing, _set_showing),
        _contents("sys.path", lambda: sys.path),
        _contents("sys.meta_path", lambda: sys.meta_path),
        _contents("sys.path_hooks", lambda: sys.path_hooks),
        _contents("callbacks of the collector", lambda: gc.callbacks),
        _attribute("sys.argv", sys, "argv"),
        _attribute("sys.excepthook", sys, "excepthook"),
        _attribute("sys.unraisablehook", sys, "unraisablehook"),
        _attribute("sys.displayhook", sys, "displayhook"),
        _attribute("threading.excepthook", threading, "excepthook"),
        Trait("faulthandler", faulthandler.is_enabled, _set_faulthandler),
        Trait("event loops of asyncio", loops.read, loops.write),
        Trait("the folder of tempfile", folder.read, folder.write),
    )


def seldom_changed_traits() -> Sequence[Trait]:
    """Return the traits that are compared now and then."""
    known = _Builtins()
    return (
        Trait("built-in names", known.read, known.write),
        Trait("the templates of decimal contexts", _decimals, _set_decimals()),
    )
