"""Hold the methods that a server answers.

While its instance starts these are only those of health, then those of its services.

gRPC wants every handler before a server starts, and a server that starts late leaves callers with a
refused connection, and balancers with nothing to ask. So there is one handler from the first moment
on; what stands behind it comes when it is ready. Each is wrapped once, when it comes.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc

from headrace_server.domain.errors import ControlError, StoreUnavailable
from headrace_server.rpc.handler import Context
from headrace_server.rpc.wrappers import Wrappers


class Methods(grpc.GenericRpcHandler):
    """The methods. Generated `add_…_to_server` functions take it for the server."""

    def __init__(self, wrappers: Wrappers) -> None:
        self._wrappers = wrappers
        self._handlers: dict[str, Any] = {}
        self._refused: dict[str, Any] = {}
        """By service."""
        self._unknown = 0
        self._other = self._refusal(
            lambda: StoreUnavailable("The server starts, or waits for its database: try again.")
        )
        """For all others."""

    def counters(self) -> Mapping[str, int]:
        """How many calls were of methods that there are not."""
        return {"unknown_methods_total": self._unknown}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """A service is here."""
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self._handlers[path] = self._wrappers.wrap(path, handler)

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """The same again, for servers that know no methods by name."""

    def refuse(self, service: str, error: Callable[[], ControlError]) -> None:
        """Answer every call of a service with an error."""
        self._refused[service] = self._refusal(error)

    def complete(self) -> None:
        """All services are here: other methods are unknown."""
        self._other = self._wrappers.wrap("", _handler(self._no_method))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of this call."""
        path = handler_call_details.method
        found = self._handlers.get(path)
        return found if found is not None else self._refused.get(path[1:].partition("/")[0], self._other)

    def _refusal(self, error: Callable[[], ControlError]) -> Any:
        async def refuse(_requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
            raise error()
            yield b""  # makes it a stream that answers nothing

        return self._wrappers.wrap("", _handler(refuse))

    async def _no_method(self, _requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        self._unknown += 1
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        yield b""


def _handler(call: Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]) -> Any:
    """For calls of whatever kind: requests are not read."""
    return grpc.stream_stream_rpc_method_handler(call, request_deserializer=bytes)
