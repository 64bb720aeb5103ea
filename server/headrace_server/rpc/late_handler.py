"""The methods that a server answers: none while its instance starts, then those of its services.

gRPC wants every handler before a server starts, and a server that starts late leaves callers with a refused
connection, and balancers with nothing to ask. So there is one handler from the first moment on; what stands behind
it comes when it is ready.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from headrace_server.domain.errors import ControlError, StoreUnavailable
from headrace_server.rpc.interceptor import Context


class Refusal(grpc.GenericRpcHandler):
    """Answers every call with an error: those of one service, or all there are."""

    def __init__(self, error: Callable[[], ControlError], service: str = "") -> None:
        self._error = error
        self._prefix = f"/{service}/" if service else ""
        self._handler: Any = grpc.stream_stream_rpc_method_handler(self._refuse, request_deserializer=bytes)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Who answers this call; nobody when it is of another service."""
        return self._handler if handler_call_details.method.startswith(self._prefix) else None

    async def _refuse(self, _requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        raise self._error()
        yield b""  # makes it a stream that answers nothing


_STARTS = Refusal(lambda: StoreUnavailable("The server starts, or waits for its database: try again."))


class LateHandler(grpc.GenericRpcHandler):
    """The handler. Generated `add_…_to_server` functions take it for the server."""

    def __init__(self) -> None:
        self._handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """A service is here."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """The same again, by the names of methods: a shortcut for servers that know their methods at the start."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Who answers this call; nobody when there is no such method."""
        found = (handler.service(handler_call_details) for handler in self._handlers or (_STARTS,))
        return next(filter(None, found), None)
