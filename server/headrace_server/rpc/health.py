"""grpc.health.v1: what balancers ask.

grpcio-health-checking has a servicer too. It knows no List, and holds its lock while it writes to a
watcher: one who does not read would keep the others, and the server's own end, waiting.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from headrace_server.rpc.handler import Context

LIVE: Final = "live"
"""A service that is SERVING as long as the process answers, whatever else it waits for.

What a restart would not mend is no reason for one, and a restart ends jobs that run.
"""


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # ships no types
    """The service: NOT_SERVING until it is told otherwise, but for LIVE."""

    def __init__(self, services: Iterable[str]) -> None:
        """services: their full names; the server as a whole, "", is added, and LIVE."""
        self._services = frozenset(("", LIVE, *services))
        self._serving = frozenset[str]()
        self._changed = asyncio.Event()

    def say(self, serving: Iterable[str]) -> None:
        """Set the services that are SERVING from now on.

        The server as a whole is SERVING if any of them is, and no other service is.
        """
        named = frozenset(serving)
        self._serving = named | {""} if named else named
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return self._answer(request.service)

    async def List(self, request: pb.HealthListRequest, context: Context) -> pb.HealthListResponse:
        return pb.HealthListResponse(statuses={name: self._answer(name) for name in self._services})

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> None:
        told = None
        while True:  # the caller ends it, or the server
            changed = self._changed
            if (answer := self._answer(request.service)) != told:
                await context.write(answer)
                told = answer
            await changed.wait()

    def _answer(self, service: str) -> pb.HealthCheckResponse:
        if service not in self._services:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
        return pb.HealthCheckResponse(
            status=pb.HealthCheckResponse.SERVING
            if service == LIVE or service in self._serving
            else pb.HealthCheckResponse.NOT_SERVING
        )
