"""Converts a failed gRPC call to the error that is raised.

The google.rpc details are read here and nowhere else.
"""

from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from headrace._transport import peer
from headrace.errors import BY_CODE, BY_REASON, FieldViolation, HeadraceError, PayloadTooLarge

_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "headrace"
_NOT_CONNECTED = ("failed to connect", "connection refused", *peer.NO_NAME, "no route to host")
"""The phrases of gRPC, in lower case, for an address at which nothing answers."""


def from_rpc_error(error: grpc.RpcError, target: str) -> HeadraceError:
    """Returns the error to raise for a failed call to the server at `target`.

    Its cause is the error of the call itself.

    The reason that the server gave decides its class; where there is none, the status code does.
    Details that do not decode are taken as not given.
    """
    code, text = error.code(), error.details() or ""
    details = _details(error)
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    retried = False
    for detail in details:
        if detail.Unpack(retry):
            retried = True
        elif not detail.Unpack(bad_request):
            detail.Unpack(info)
    reason = info.reason if info.domain == _DOMAIN else ""
    kind = BY_REASON.get(reason) or BY_CODE.get(code.name, HeadraceError)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        kind = PayloadTooLarge
    failure = kind(
        text if reason else _sentence(code, text, target),
        code=code.name,
        reason=reason,
        metadata=info.metadata,
        fields=[FieldViolation(item.field, item.description) for item in bad_request.field_violations],
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retried else None,
    )
    failure.__cause__ = error
    return failure


def reached(error: grpc.RpcError) -> bool:
    """Returns whether a failure shows that a server was there.

    It was if there is an answer, or a connection that broke.
    """
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return not _not_connected(error.details() or "")
    return error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED


def _not_connected(text: str) -> bool:
    return any(sign in text.lower() for sign in _NOT_CONNECTED)


def _details(error: grpc.RpcError) -> list[Any]:
    """The google.rpc details of a failed call, packed."""
    # A tuple of pairs from a blocking call, a multi-map from one on an event loop: both give pairs.
    metadata = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    for key, value in metadata:
        if key == _DETAILS_KEY:
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def _sentence(code: grpc.StatusCode, text: str, target: str) -> str:
    """Returns a sentence for people about an error of the transport, not of Headrace."""
    if said := peer.sentence(text.lower(), target):
        return said
    match code:
        case grpc.StatusCode.UNAVAILABLE if _not_connected(text):
            through = peer.through(target)
            way = f" through the proxy of the environment{through}; no_proxy goes past it" if through else ""
            return f"Nothing answers at {target}{way}: is it running? Start one with `headrace dev`."
        case grpc.StatusCode.UNAVAILABLE:
            return f"The connection to {target} was lost: {text}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{target} had not answered when the time for the call was over."
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"The server at {target} does not know this method: it may be older than this client, or none of Headrace's."
        case _:
            return f"The call to {target} ended with {code.name}: {text}"
