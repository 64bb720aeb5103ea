"""How a client reaches its server: target, credentials, and what the transport is told.

Deadlines, keepalive and retries are decided here. A unary call is repeated by gRPC itself on UNAVAILABLE, and when the
server's transport cancelled it, at most five times within its deadline: every unary method may be repeated, submit
because it carries a request_id.
Streams are not in that list: a stream that broke is resumed where it was (_watch.py), never repeated.
"""

import json
import os
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc.aio

from headrace import _version
from headrace._rpc.spec import seconds
from headrace.options import Span
from headrace.v1 import admin_service_pb2, job_service_pb2

TARGET_VARIABLE = "HEADRACE_TARGET"
DEFAULT_TARGET = "127.0.0.1:50551"
DEFAULT_TIMEOUT = 30.0
DEFAULT_RECONNECT_TIMEOUT = 60.0
DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    # Headrace's server answers no call CANCELLED: its transport does, to a call that comes in as it stops.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def service_config(target: str = DEFAULT_TARGET) -> str:
    """The service config as JSON: the retry policy of every unary method; calls take turns among several servers.

    So a call that a draining server has refused is repeated by another. With one address gRPC's own way is quicker to
    reconnect.
    """
    services = (
        *job_service_pb2.DESCRIPTOR.services_by_name.values(),
        *admin_service_pb2.DESCRIPTOR.services_by_name.values(),
    )
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if not method.server_streaming
    ]
    config: dict[str, Any] = {"methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}]}
    if _several(target):
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    return json.dumps(config)


def _several(target: str) -> bool:
    """Whether a target may name several servers: a list of addresses, or a name that is looked up by gRPC's own words."""
    return "," in target or target.startswith("dns:")


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that a channel is made from. Times are in seconds."""

    target: str
    credentials: grpc.ChannelCredentials | None
    """None means without TLS."""
    timeout: float
    """The deadline of a unary call."""
    wait_for_ready: bool
    """Whether calls wait for a connection, until their deadline, where they would fail for want of one."""
    reconnect_timeout: float | None
    """How long a watch, run or wait goes on without a server that was there before; None: for ever."""
    max_message_bytes: int

    @classmethod
    def of(
        cls,
        target: str | None,
        *,
        credentials: grpc.ChannelCredentials | None,
        timeout: Span,
        wait_for_ready: bool,
        reconnect_timeout: Span | None,
        max_message_bytes: int,
    ) -> Self:
        """From what a client was given. Raises InvalidArgument for a length of time that is none."""
        return cls(
            target=target or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET,
            credentials=credentials,
            timeout=seconds("timeout", timeout),
            wait_for_ready=wait_for_ready,
            reconnect_timeout=None
            if reconnect_timeout is None
            else seconds("reconnect_timeout", reconnect_timeout),
            max_message_bytes=max_message_bytes,
        )

    @classmethod
    def to(cls, target: str | None, timeout: Span) -> Self:
        """One that needs nothing else than where and how long. Raises InvalidArgument as `of` does."""
        return cls.of(
            target,
            credentials=None,
            timeout=timeout,
            wait_for_ready=False,
            reconnect_timeout=0.0,
            max_message_bytes=DEFAULT_MAX_MESSAGE_BYTES,
        )

    def options(self) -> list[tuple[str, str | int]]:
        """The options of the channel."""
        return [
            ("grpc.service_config", service_config(self.target)),
            ("grpc.primary_user_agent", f"headrace-python/{_version.read()}"),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            # The server permits a ping each 10 s. Without these a watch whose link was cut silently waits for ever.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # Else 60 s, and that is what counts for a link that was cut.
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.http2.max_pings_without_data", 0),
            # gRPC's own waits grow to 2 min: too long for a server that restarts in a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            # Of several, one that was replaced must be found again before the next goes: calls are repeated for a good second.
            ("grpc.max_reconnect_backoff_ms", 500 if _several(self.target) else 5_000),
        ]

    def open(self) -> grpc.Channel:
        """A channel for blocking calls. It connects with the first call."""
        if self.credentials is None:
            return grpc.insecure_channel(self.target, self.options())
        return grpc.secure_channel(self.target, self.credentials, self.options())

    def open_async(self) -> grpc.aio.Channel:
        """A channel for the running event loop. It connects with the first call."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.target, self.options())
        return grpc.aio.secure_channel(self.target, self.credentials, self.options())
