"""What a bare call was refused with."""

from typing import NamedTuple

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Refusal(NamedTuple):
    """Code, reason and fields of an answer, how long to wait before the next try (0: nothing was
    said), the sentence.
    """

    code: grpc.StatusCode
    reason: str
    fields: list[str]
    retry_ms: int
    message: str


def refusal(error: BaseException) -> Refusal:
    """Read the details of a call that failed; without any, only its code is known."""
    assert isinstance(error, grpc.Call), error
    status = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        for known in (info, bad, retry):
            detail.Unpack(known)
    return Refusal(
        error.code(),
        info.reason,
        [violation.field for violation in bad.field_violations],
        retry.retry_delay.ToMilliseconds(),
        status.message if status else "",
    )
