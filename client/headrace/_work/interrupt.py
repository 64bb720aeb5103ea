"""How a stop gets into code that does not use the context: an awaiting coroutine, and SIGTERM.

While a coroutine awaits, the flag is looked at every 50 ms, and the coroutine is cancelled once.
The signal handler of a worker calls `interrupt`, which raises JobStopped where the job stands, or
cancels it where the event loop stands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from headrace._work.stop import StopDelivery

T = TypeVar("T")

POLL_SECONDS = 0.05


class _Running:
    """The job that runs in this process, for the signal handler: there is one at a time."""

    stop: StopDelivery | None = None
    task: asyncio.Task[Any] | None = None


_running = _Running()


def interruptibly(stop: StopDelivery, code: Callable[[], T]) -> T:
    """Call code of a job: `interrupt` reaches it here and nowhere else.

    One function, no context manager: a signal may be handled after any call, and one that is
    handled between a manager's own lines would leave the job marked as running. Here there is no
    call outside the try.
    """
    before = _running.stop
    _running.stop = stop
    try:
        return code()
    finally:
        _running.stop = before


def interrupt() -> None:
    """For the SIGTERM handler of a worker: raise JobStopped into the code of the job that runs.

    Nothing happens where no code of a job runs. Each call raises anew, so a clean-up that hangs is
    interrupted too.
    """
    if _running.stop is None:
        return
    _running.stop.interrupted = True
    error = _running.stop.take()
    main = _running.task
    if main is None:
        raise error
    current = asyncio.current_task(main.get_loop())
    if current is not main:
        main.get_loop().call_soon_threadsafe(main.cancel)
    if current is not None:
        raise error


def run_coroutine(awaitable: Awaitable[Any], stop: StopDelivery) -> Any:
    """Run the coroutine of a job on an event loop of its own.

    A stop cancels it, and it ends with JobStopped.
    """
    events: Any = asyncio.events
    policy = events._event_loop_policy  # noqa: SLF001 - asking for it makes one
    try:
        with asyncio.Runner() as runner:
            return runner.run(_watched(awaitable, stop))
    finally:
        if policy is None:  # what the runner has made is nothing that the job left
            events._event_loop_policy = None  # noqa: SLF001 - as above


async def _watched(awaitable: Awaitable[Any], stop: StopDelivery) -> Any:
    main = asyncio.current_task()
    watch = asyncio.create_task(_cancel_when_due(main, stop))
    loop = asyncio.get_running_loop()
    stop.cancels = lambda: bool(asyncio.all_tasks(loop) - {main, watch})
    _running.task = main
    try:
        return await awaitable
    except asyncio.CancelledError:
        if stop.raised:
            raise stop.take() from None
        raise
    finally:
        _running.task = None
        stop.cancels = bool
        watch.cancel()


async def _cancel_when_due(main: asyncio.Task[Any] | None, stop: StopDelivery) -> None:
    while not stop.due():  # noqa: ASYNC110 - the flag may be a byte of shared memory
        await asyncio.sleep(POLL_SECONDS)
    stop.interrupted = True
    stop.take()
    if main is not None:
        main.cancel()
