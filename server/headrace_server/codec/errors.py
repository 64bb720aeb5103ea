"""Errors on the wire: reason -> gRPC code, and google.rpc details.

The client's errors.py is the other half of this table; tests/unit/test_error_table.py holds them
together.
"""

import logging
import uuid

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from headrace_server.domain.errors import ControlError

log = logging.getLogger(__name__)

DOMAIN = "headrace"

CODES: dict[str, grpc.StatusCode] = {
    "JOB_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "INVALID_ARGUMENT": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_PARAMETER": grpc.StatusCode.INVALID_ARGUMENT,
    "JOB_TYPE_UNKNOWN": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_PAGE_TOKEN": grpc.StatusCode.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "WRONG_STATUS": grpc.StatusCode.FAILED_PRECONDITION,
    "JOB_LOCKED": grpc.StatusCode.FAILED_PRECONDITION,
    "ETAG_MISMATCH": grpc.StatusCode.ABORTED,
    "REVISION_AHEAD": grpc.StatusCode.OUT_OF_RANGE,
    "QUEUE_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_WATCHERS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_CALLS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "CALL_TOO_LONG": grpc.StatusCode.DEADLINE_EXCEEDED,
    "STORE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "LOADER_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    "WORKER_ONLY": grpc.StatusCode.UNIMPLEMENTED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}

VIOLATIONS_MAX = 50
"""The number of field violations that are sent as details of one error.

Details travel as metadata, which gRPC bounds. The text counts the rest.
"""


class InternalError(ControlError):
    """Something that should not happen: the error id finds the traceback in the log."""

    reason = "INTERNAL"

    def __init__(self, error_id: str) -> None:
        super().__init__(f"Internal error {error_id}: the server's log has the details.", error_id=error_id)


def internal(error: Exception, where: str, request: object) -> InternalError:
    """Return the error that a caller gets for what should not happen.

    The log gets the traceback, and the ids that the request has.
    """
    found = InternalError(uuid.uuid4().hex[:12])
    error_id = found.metadata["error_id"]
    named = {name: getattr(request, name, None) or None for name in ("request_id", "job_id")}
    extra = {"error_id": error_id, **named}
    log.error("internal error %s in %s", error_id, where, exc_info=error, extra=extra)
    return found


def to_status(error: ControlError) -> status_pb2.Status:
    """Return the google.rpc.Status of an error.

    It has ErrorInfo, and BadRequest and RetryInfo where they help.
    """
    message = _within(shorten(error.message, MESSAGE_MAX), MESSAGE_MAX)
    status = status_pb2.Status(code=CODES[error.reason].value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    _pack(status, info)
    if error.fields:
        _pack(status, _bad_request(error, METADATA_MAX - status.ByteSize() - BESIDE))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    while status.ByteSize() > METADATA_MAX and len(status.details) > 1:
        del status.details[-1]
    return status


def _bad_request(error: ControlError, room: int) -> error_details_pb2.BadRequest:
    """Return the violations, as many as there is room for; the first of them always."""
    bad = error_details_pb2.BadRequest()
    for field, description in error.fields[:VIOLATIONS_MAX]:
        bad.field_violations.add(field=shorten(field, 200), description=shorten(description, 500))
        if len(bad.field_violations) > 1 and bad.ByteSize() > room:
            del bad.field_violations[-1]
            break
    return bad


MESSAGE_MAX = 2000
"""Characters, and bytes, of the text of an error: the details want their room too."""
BESIDE = 200
"""Bytes that stand around the details and behind them."""
METADATA_MAX = 6000
"""Bytes: gRPC's default bound on metadata is 8 KiB, its own headers included."""


def shorten(text: str, limit: int) -> str:
    """Text of at most `limit` characters, the cut marked."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _within(text: str, size: int) -> str:
    """Text of at most so many bytes, the cut marked."""
    encoded = text.encode()
    return text if len(encoded) <= size else f"{encoded[: size - 3].decode(errors='ignore')}…"


def _pack(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type] # every detail is a message
    status.details.append(packed)
