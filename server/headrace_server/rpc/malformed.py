"""Refuse bytes that do not decode with INVALID_ARGUMENT.

The error names the message type, and the field of a text that is not UTF-8.

Without this they would be UNKNOWN before any of our code runs.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError

from headrace_server.codec.malformed import bad_text
from headrace_server.domain.errors import FieldViolation, InvalidArgument
from headrace_server.rpc.handler import Context, Handler, Method


class Malformed:
    """Stands for a request whose bytes do not decode."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def decoder(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A decoder that raises nothing: it gives Malformed instead."""

    def guarded(data: bytes) -> Any:
        try:
            return decode(data)
        except (DecodeError, UnicodeDecodeError):
            return Malformed(data)

    return guarded


def refuse_malformed(method: Method, handler: Handler) -> Handler:
    """Raise InvalidArgument for a request that has not been decoded."""

    async def refusing(request: Any, context: Context) -> Any:
        if isinstance(request, Malformed):
            raise _error(method, request.data)
        return await handler(request, context)

    return refusing


def refuse_malformed_of_many(method: Method, handler: Handler) -> Handler:
    """The same for a method that takes a stream of requests."""

    async def decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            if isinstance(request, Malformed):
                raise _error(method, request.data)
            yield request

    async def refusing(requests: AsyncIterator[Any], context: Context) -> Any:
        return await handler(decoded(requests), context)

    return refusing


def _error(method: Method, data: bytes) -> InvalidArgument:
    name = method.path.lstrip("/").replace("/", ".")
    kind = descriptor_pool.Default().FindMethodByName(name).input_type
    field = bad_text(kind, data)
    text = f"The bytes of the request do not decode as {kind.full_name}"
    return InvalidArgument(
        FieldViolation(field, f"{text}: this is not UTF-8." if field else f"{text}."),
        message_type=kind.full_name,
    )
