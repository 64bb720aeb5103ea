"""A method of the contract, what answers it, and what a wrapper is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Context], Awaitable[Any]]
"""Answers a call. That of a unary method gives the answer, that of a stream writes to the context.

Streams are no asynchronous generators: cancelling a coroutine runs its clean-up at once, where a
generator would wait for the garbage collector.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """One method."""

    path: str
    """As gRPC writes it: /headrace.v1.JobService/GetJob."""
    serialize: Callable[[Any], bytes]
    """Of its answers."""
    streams: bool
    """It answers with a stream."""


Wrapper = Callable[[Method, Handler], Handler]
"""Makes a handler of a handler, once, when the method is registered."""
