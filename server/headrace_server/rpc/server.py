"""The gRPC server: options, services, health, reflection."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from headrace.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
)
from headrace_server.domain.errors import WorkerOnly
from headrace_server.rpc.admin import AdminService
from headrace_server.rpc.health import Health
from headrace_server.rpc.methods import Methods
from headrace_server.rpc.service import JobService
from headrace_server.rpc.wrappers import Wrappers

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a silent twin
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients ping idle watches
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # else 60 s, and that is what counts for a link that was cut
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.server.max_pending_requests", 100_000),  # a burst of watchers is served, not refused
)
JOBS: Final = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name
ADMIN: Final = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name


def _tells_of_a_defect(record: logging.LogRecord) -> bool:
    """Return whether a record says more than that a caller left before its answer came."""
    return record.exc_info is None or type(record.exc_info[1]).__name__ != "ExecuteBatchError"


class PortInUse(Exception):
    """The address cannot be listened on."""


class RpcServer:
    """The server of one instance. Make it on the event loop's thread.

    From `start` on it says NOT_SERVING and refuses calls, so that balancers and callers are told
    how it stands; from `open` on it serves.
    """

    def __init__(self, wrappers: Wrappers, *, message_bytes: int, with_reflection: bool) -> None:
        options = (*OPTIONS, ("grpc.max_receive_message_length", message_bytes))
        logging.getLogger("grpc._cython.cygrpc").addFilter(_tells_of_a_defect)
        self._wrappers = wrappers
        self._methods = Methods(wrappers)
        self._server = grpc.aio.server(handlers=(self._methods,), options=options)
        self._health = Health((JOBS, ADMIN))
        self._services: tuple[str, ...] = ()
        self._available = True
        methods: Any = self._methods  # has what generated functions call of a server
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        if with_reflection:
            names = (JOBS, ADMIN, "grpc.health.v1.Health", reflection.SERVICE_NAME)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
                reflection.aio.ReflectionServicer(names), methods
            )

    async def start(self, address: str) -> str:
        """Listen on host:port, 0 for a free one; answer what it has become. Raises PortInUse."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if not port:
            raise PortInUse(
                f"Cannot listen on {address}: the port is in use, or the host is not one of this machine."
            )
        await self._server.start()
        self._wrappers.start()
        return f"{address.rpartition(':')[0]}:{port}"

    def open(self, jobs: JobService | None, admin: AdminService) -> None:
        """Serve these services, and say SERVING of them.

        Without `jobs`, callers that want them are sent elsewhere.
        """
        methods: Any = self._methods  # has what generated functions call of a server
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, methods)
        if jobs is None:
            self._methods.refuse(JOBS, WorkerOnly)
            self._say((ADMIN,))
        else:
            job_service_pb2_grpc.add_JobServiceServicer_to_server(jobs, methods)
            self._say((JOBS, ADMIN))
        self._methods.complete()

    def counters(self) -> Mapping[str, int]:
        """Of calls: let in, refused, unread, unknown."""
        return {**self._wrappers.counters(), **self._methods.counters()}

    def available(self, is_so: bool) -> None:
        """Whether calls are answered: while they are not, say NOT_SERVING."""
        self._available = is_so
        self._say(self._services)

    def drain(self) -> None:
        """Say NOT_SERVING: balancers send no new calls."""
        self._say(())

    def _say(self, services: tuple[str, ...]) -> None:
        self._services = services
        self._health.say(services if self._available else ())

    async def stop(self, grace: float) -> None:
        """Take no new calls; cancel what is left after `grace` seconds."""
        await self._server.stop(grace)
        await self._wrappers.close()
