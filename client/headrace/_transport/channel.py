"""How a client reaches its server: target, credentials, and what the transport is told.

Deadlines and keepalive are decided here; what is repeated, and when, in retry.py: gRPC's own
repetitions are over in two seconds, whatever the deadline, and hide the last answer when it comes
before.
"""

import json
import os
from dataclasses import dataclass
from typing import Self

import grpc
import grpc.aio

from headrace import _version
from headrace._requests.spec import seconds
from headrace._transport.access import Access
from headrace._transport.peer import check, is_local
from headrace.options import Span

TARGET_VARIABLE = "HEADRACE_TARGET"
DEFAULT_TARGET = "127.0.0.1:50551"
DEFAULT_TIMEOUT = 30.0
DEFAULT_RECONNECT_TIMEOUT = 60.0
DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_SEVERAL = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
"""The gRPC service config for several servers, with calls taken in turns.

A call that a draining server has refused then goes to another one.
"""


def _several(target: str) -> bool:
    """Returns whether a target may name several servers.

    It may if it is a list of addresses, or a `dns:` name, which gRPC itself looks up.
    """
    return "," in target or target.startswith("dns:")


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that a channel is made from. Times are in seconds."""

    target: str
    access: Access
    timeout: float
    """The deadline of a unary call."""
    wait_for_ready: bool
    """Whether a call waits for a connection until its deadline, instead of failing without one."""
    reconnect_timeout: float | None
    """Seconds that a watch, run or wait goes on after losing its server; None means for ever."""
    max_message_bytes: int

    @classmethod
    def of(
        cls,
        target: str | None,
        *,
        access: Access,
        timeout: Span,
        wait_for_ready: bool,
        reconnect_timeout: Span | None,
        max_message_bytes: int,
    ) -> Self:
        """Returns the connection for the arguments that a client was given.

        Raises InvalidArgument for an invalid target or length of time.
        """
        target = target or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET
        check(target)
        return cls(
            target=target,
            access=access,
            timeout=seconds("timeout", timeout),
            wait_for_ready=wait_for_ready,
            reconnect_timeout=None
            if reconnect_timeout is None
            else seconds("reconnect_timeout", reconnect_timeout),
            max_message_bytes=max_message_bytes,
        )

    @classmethod
    def to(cls, target: str | None, timeout: Span) -> Self:
        """Returns a connection that needs only a target and a timeout.

        Raises InvalidArgument as `of` does.
        """
        return cls.of(
            target,
            access=Access(),
            timeout=timeout,
            wait_for_ready=False,
            reconnect_timeout=0.0,
            max_message_bytes=DEFAULT_MAX_MESSAGE_BYTES,
        )

    def options(self) -> list[tuple[str, str | int]]:
        """The options of the channel."""
        return [
            # With one address gRPC's own way is quicker to reconnect.
            *([("grpc.service_config", _SEVERAL)] if _several(self.target) else []),
            # A proxy of the environment does not lead back to this machine.
            ("grpc.enable_http_proxy", 0 if is_local(self.target) else 1),
            ("grpc.primary_user_agent", f"headrace-python/{_version.read()}"),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            # The server permits a ping each 10 s. Without these a watch whose link was cut silently
            # waits for ever.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # Else 60 s, and that is what counts for a link that was cut.
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.http2.max_pings_without_data", 0),
            # gRPC's own waits grow to 2 min: too long for a server that restarts in a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            # With the waits of retry.py this finds it within a second; and of several, one that was
            # replaced is found again before the next goes.
            ("grpc.max_reconnect_backoff_ms", 300),
        ]

    def open(self) -> grpc.Channel:
        """A channel for blocking calls. It connects with the first call."""
        credentials, options = self.access.credentials, self.options()
        channel = (
            grpc.insecure_channel(self.target, options)
            if credentials is None
            else grpc.secure_channel(self.target, credentials, options)
        )
        return grpc.intercept_channel(channel, *self.access.interceptors)

    def open_async(self) -> grpc.aio.Channel:
        """A channel for the running event loop. It connects with the first call."""
        credentials, options = self.access.credentials, self.options()
        interceptors = self.access.interceptors or None
        if credentials is None:
            return grpc.aio.insecure_channel(self.target, options, interceptors=interceptors)
        return grpc.aio.secure_channel(self.target, credentials, options, interceptors=interceptors)
