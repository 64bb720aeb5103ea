"""While the database is away: a server that answers, so that balancers and callers are told what is the matter.

Health says NOT_SERVING, and every call gets UNAVAILABLE with the reason and when to try again.
"""

from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.rpc.edge import Context, abort
from headrace_server.rpc.health import Health
from headrace_server.rpc.server import OPTIONS, SERVICES, listen


class WaitingServer:
    """The server of an instance that has no database yet. Make it on the event loop's thread."""

    def __init__(self) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        health = Health(SERVICES)
        health.drain()
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        self._server.add_generic_rpc_handlers((_Refusal(),))

    async def start(self, address: str) -> int:
        """Listen on host:port; answer the port. Raises PortInUse."""
        port = listen(self._server, address)
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Let go of the port."""
        await self._server.stop(0)


class _Refusal(grpc.GenericRpcHandler):
    """One answer for every method."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        del handler_call_details
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(_requests: Any, context: Context) -> None:
    await abort(context, StoreUnavailable("The server waits for its database: try again."))
