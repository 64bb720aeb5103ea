"""How long a call may take.

    calls, in the order of their beginning    a  b  c  d
                                              └── the sweeper sleeps until this one's time is over

All have the same time, so the first to begin is the first to be over it: one task looks after all,
and a call costs one entry of a dict.
"""

import asyncio
import time
from typing import Any

from headrace_server.control.background import Background
from headrace_server.domain.errors import CallTooLong
from headrace_server.rpc.handler import Context, Handler, Method


class TimeLimit(Background):
    """The limit. seconds: what a call may take."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: dict[asyncio.Task[Any], float] = {}
        """When each began; monotonic."""

    def limit(self, _method: Method, handler: Handler) -> Handler:
        """Cancel a call that takes too long: CallTooLong."""
        begun = self._begun

        async def limited(request: Any, context: Context) -> Any:
            task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment] # gRPC makes one for each call
            begun[task] = time.monotonic()
            try:
                answer = await handler(request, context)
            except BaseException as error:
                if self._in_time(task) or not isinstance(error, asyncio.CancelledError):
                    raise
                if task.cancelling():  # by its caller too
                    raise
                raise CallTooLong(self._seconds) from None
            self._in_time(task)
            return answer

        return limited

    def _in_time(self, task: "asyncio.Task[Any]") -> bool:
        """Return whether a call that has ended was not cancelled here.

        If it was, its task is set back as if it had not been.
        """
        if self._begun.pop(task, None) is not None:
            return True
        task.uncancel()
        return False

    async def _run(self) -> None:
        while True:
            left = self._sweep()
            await asyncio.sleep(left)

    def _sweep(self) -> float:
        """Cancel what is over its time; the seconds until the next may be."""
        now = time.monotonic()
        while self._begun:
            task, since = next(iter(self._begun.items()))
            if (left := since + self._seconds - now) > 0:
                return left
            del self._begun[task]
            task.cancel()
        return self._seconds
