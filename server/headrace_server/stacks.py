"""Shows what the server is doing now, on SIGUSR1.

The stack of every thread and every task is written to standard error.

    kill -USR1 <pid>

A process that seems to hang can so be asked why, without a debugger and without being ended. The
threads are told by C code, which needs no event loop that turns; the tasks by the loop, if it does.
"""

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Iterator
from typing import Any

from headrace_server import streams


def tell_on_signal() -> None:
    """From now on, on the running event loop."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell_tasks)
    faulthandler.register(signal.SIGUSR1, file=streams.inherited(), all_threads=True, chain=True)


def _tell_tasks() -> None:
    for task in asyncio.all_tasks():
        sys.stderr.write(f"Task {task.get_name()}\n" + "".join(_awaited(task.get_coro())))


def _awaited(coroutine: Any) -> Iterator[str]:
    """Yield where a coroutine waits, and where what it waits for does.

    asyncio's own print_stack shows only the former, and fails on C code.
    """
    while coroutine is not None:
        name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        frame = getattr(coroutine, "cr_frame", None)
        place = f"{frame.f_code.co_filename}, line {frame.f_lineno}" if frame is not None else "no frame"
        yield f"  {name} at {place}\n"
        coroutine = getattr(coroutine, "cr_await", None)
