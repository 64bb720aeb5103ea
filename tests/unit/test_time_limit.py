"""One sweeper ends the calls that take too long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace_server.domain.errors import CallTooLong
from headrace_server.rpc.handler import Handler, Method
from headrace_server.rpc.time_limit import TimeLimit

METHOD = Method("/some.Service/Method", bytes, streams=False)
CONTEXT: Any = None


@asynccontextmanager
async def limited(seconds: float, handler: Handler) -> AsyncIterator[Handler]:
    """The handler under a limit that is looked after."""
    limit = TimeLimit(seconds)
    limit.start()
    yield limit.limit(METHOD, handler)
    await limit.close()


async def for_ever(_request: Any, _context: Any) -> None:
    """Waits for what never happens."""
    await asyncio.Event().wait()


async def test_a_call_over_its_time_is_ended_and_its_task_goes_on() -> None:
    """Each call over its time raises CallTooLong, however many there are, and its task is as if it
    had not been cancelled.
    """
    async with limited(0.01, for_ever) as handler:

        async def call() -> int:
            with pytest.raises(CallTooLong):
                await handler(None, CONTEXT)
            await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()

        assert await asyncio.gather(*(call() for _ in range(3))) == [0, 0, 0]
        assert await call() == 0


async def test_a_call_that_its_caller_cancels_is_cancelled() -> None:
    """A cancellation from elsewhere stays one, whether the call's time is over or not."""
    for seconds in (1000, 0.01):
        begun = asyncio.Event()

        async def stubborn(_request: Any, _context: Any, begun: asyncio.Event = begun) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                asyncio.current_task().cancel()  # type: ignore[union-attr] # its caller does so at this moment

        async with limited(seconds, stubborn) as handler:
            task = asyncio.ensure_future(handler(None, CONTEXT))
            await begun.wait()
            if seconds == 1000:
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_what_a_call_gives_within_its_time_is_its_answer() -> None:
    """Answers and errors pass as they are, and so does the answer of a call that goes on after its
    time.
    """

    async def answer(request: Any, _context: Any) -> Any:
        if request == "late":
            with pytest.raises(asyncio.CancelledError):
                await asyncio.Event().wait()
        if request == "error":
            raise TimeoutError
        return request

    async with limited(0.01, answer) as handler:
        assert await handler("soon", CONTEXT) == "soon"
        assert await handler("late", CONTEXT) == "late"
        with pytest.raises(TimeoutError):
            await handler("error", CONTEXT)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
