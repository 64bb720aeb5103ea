"""How a client is let in by its server: a secure channel, and what each call carries.

A door, not yet a feature.

The public argument is `credentials` alone. Tokens and tracing come in here: Client and AsyncClient
give one Access to their transports, and both use all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Access:
    """What secures the channel of a client, and what goes with its calls."""

    credentials: grpc.ChannelCredentials | None = None
    """None means without TLS.

    Call credentials are part of them: grpc.composite_channel_credentials.
    """
    metadata: Callable[[], Metadata] | None = None
    """Gives the metadata of a call.

    It is asked before each attempt and each stream, on the thread or the event loop that
    makes the call: it must not block."""
    interceptors: tuple[Any, ...] = ()
    """Those of grpc for Client, of grpc.aio for AsyncClient; the first is the outermost. grpc.aio
    uses one object for one
    kind of call, for unary ones where it could be both."""

    def call_metadata(self) -> Metadata | None:
        """The metadata of the next call; None: none."""
        return None if self.metadata is None else self.metadata()
