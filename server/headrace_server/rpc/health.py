"""grpc.health.v1: what balancers ask, answered for every service at once.

grpcio-health-checking has a servicer too. It knows no List, and holds its lock while it writes to a watcher: one who
does not read would keep the others, and the server's own end, waiting.
"""

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from headrace_server.rpc.edge import Context


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # ships no types
    """The service: SERVING until it is told otherwise, once."""

    def __init__(self, services: Iterable[str]) -> None:
        """services: their full names; the server as a whole, "", is added."""
        self._services = frozenset(("", *services))
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Say NOT_SERVING from now on."""
        self._draining.set()

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return self._answer(request.service)

    async def List(self, request: pb.HealthListRequest, context: Context) -> pb.HealthListResponse:
        return pb.HealthListResponse(statuses={name: self._answer(name) for name in self._services})

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> None:
        told = self._answer(request.service)
        await context.write(told)
        await self._draining.wait()
        if (last := self._answer(request.service)) != told:
            await context.write(last)
        await asyncio.Event().wait()  # the caller ends it, or the server

    def _answer(self, service: str) -> pb.HealthCheckResponse:
        if service not in self._services:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
        draining = self._draining.is_set()
        return pb.HealthCheckResponse(
            status=pb.HealthCheckResponse.NOT_SERVING if draining else pb.HealthCheckResponse.SERVING
        )
