"""The methods that a server answers: none while its instance starts, then those of its services.

gRPC wants every handler before a server starts, and a server that starts late leaves callers with a refused
connection, and balancers with nothing to ask. So there is one handler from the first moment on; what stands behind
it comes when it is ready.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from headrace_server.domain.errors import ControlError, StoreUnavailable
from headrace_server.rpc.edge import Context


class Desk(grpc.GenericRpcHandler):
    """The handler. Generated `add_…_to_server` functions take it for the server."""

    def __init__(self) -> None:
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._refused: dict[str, Callable[[], ControlError]] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """A service is here."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """The same again, by the names of methods: a shortcut for servers that know their methods at the start."""

    def refuse(self, service: str, error: Callable[[], ControlError]) -> None:
        """Calls of this service are answered so."""
        self._refused[service] = error

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Who answers this call; nobody when there is no such method."""
        if not self._handlers:
            return _refusing(
                lambda: StoreUnavailable("The server starts, or waits for its database: try again.")
            )
        refused = self._refused.get(handler_call_details.method.lstrip("/").partition("/")[0])
        if refused is not None:
            return _refusing(refused)
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next(filter(None, found), None)


def _refusing(error: Callable[[], ControlError]) -> Any:
    async def refuse(_requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        raise error()
        yield b""  # makes it a stream that answers nothing

    return grpc.stream_stream_rpc_method_handler(refuse, request_deserializer=bytes)
