"""Admit calls: limit how much of the callers' work one server takes on at once.

    unary call ──> calls in progress, bytes of their requests ──> beyond the limit: TOO_MANY_CALLS
    stream     ──> streams of its connection                  ──> beyond the limit: TOO_MANY_WATCHERS

What is over a limit is answered at once, with RetryInfo, before anything is done for it: so under
overload memory stays flat, what was let in is served at the pace of an idle day, and the rest comes
again. A call that only waits (WaitJob, SubmitJob and StopJob with wait_timeout) costs little and
may last a minute: it counts as a watcher, which the hub limits, and not as a call in progress.

Health and AdminService are let in whatever others do: whoever looks after an overloaded server must
be able to ask it. Only a connection that reads none of its answers is refused them too (unread),
and its streams of them are counted apart.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from headrace_server.control.validate.limits import Limits
from headrace_server.domain.errors import TooManyCalls, TooManyWatchers
from headrace_server.rpc.handler import Context, Handler, Method


class Admission:
    """Counts what is let in. waiting: how many calls only wait at this moment."""

    def __init__(self, limits: Limits, waiting: Callable[[], int]) -> None:
        self._limits = limits
        self._waiting = waiting
        self._calls = 0
        self._bytes = 0
        self._streams: Counter[str] = Counter()

    def admit(self, _method: Method, handler: Handler) -> Handler:
        """Let a unary call in while there is room. Raises TooManyCalls."""

        async def admitted(request: Any, context: Context) -> Any:
            size = request.ByteSize()
            self._check(size)
            self._calls += 1
            self._bytes += size
            try:
                return await handler(request, context)
            finally:
                self._calls -= 1
                self._bytes -= size

        return admitted

    def _check(self, size: int) -> None:
        limits = self._limits
        if self._calls - self._waiting() >= limits.calls:
            raise TooManyCalls(f"This server works on {limits.calls} calls already (max_calls): try again.")
        # A request larger than the whole limit is let in when it is alone.
        if self._bytes and self._bytes + size > limits.call_bytes:
            raise TooManyCalls(
                f"The requests that this server works on have {self._bytes >> 20} MiB already (max_calls_mib): "
                "try again."
            )

    def admit_stream(self, _method: Method, handler: Handler) -> Handler:
        """Let a stream in while its connection may have more. Raises TooManyWatchers."""

        async def admitted(request: Any, context: Context) -> None:
            await self._stream(context.peer(), handler, request, context)

        return admitted

    def admit_stream_beside(self, _method: Method, handler: Handler) -> Handler:
        """The same, for streams that look after the server: they are counted apart."""

        async def admitted(request: Any, context: Context) -> None:
            await self._stream(f"{context.peer()} beside", handler, request, context)

        return admitted

    async def _stream(self, peer: str, handler: Handler, request: Any, context: Context) -> None:
        limit = self._limits.streams_per_connection
        if self._streams[peer] >= limit:
            raise TooManyWatchers(
                f"This connection has {limit} streams already (max_streams_per_connection): "
                "close some, or use another channel."
            )
        self._streams[peer] += 1
        try:
            await handler(request, context)
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    def counters(self) -> Mapping[str, int]:
        """Gauges for GetServerInfo."""
        return {
            "calls": self._calls,
            "calls_bytes": self._bytes,
            "streams": self._streams.total(),
            "connections_with_streams": len(self._streams),
        }
