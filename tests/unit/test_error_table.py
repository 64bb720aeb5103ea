"""The two halves of the table of errors: what the server answers is what the client raises."""

import pytest
from google.rpc import error_details_pb2

from headrace.errors import BY_CODE, BY_REASON
from headrace_server.codec.errors import CODES, METADATA_MAX, to_status
from headrace_server.domain.errors import ControlError, FieldViolation, InvalidParameter

RAISED = {
    "JOB_NOT_FOUND": "JobNotFound", "INVALID_ARGUMENT": "InvalidArgument", "INVALID_PARAMETER": "InvalidParameter",
    "JOB_TYPE_UNKNOWN": "UnknownType", "INVALID_PAGE_TOKEN": "InvalidPageToken",
    "REQUEST_ID_REUSED": "RequestIdReused", "WRONG_STATUS": "WrongStatus", "JOB_LOCKED": "JobLocked",
    "ETAG_MISMATCH": "EtagMismatch", "REVISION_AHEAD": "OutOfRange", "QUEUE_FULL": "Overloaded",
    "TOO_MANY_WATCHERS": "Overloaded", "STORE_UNAVAILABLE": "Unavailable", "DRAINING": "Unavailable",
    "LOADER_UNAVAILABLE": "Unavailable",
    "WORKER_ONLY": "Unsupported",
    "TOO_MANY_CALLS": "Overloaded", "CALL_TOO_LONG": "DeadlineExceeded",
    "INTERNAL": "InternalError",
}  # fmt: skip
"""The contract: reason -> the client's exception."""


def kinds(kind: type[ControlError]) -> list[type[ControlError]]:
    """Every error below one."""
    return [one for below in kind.__subclasses__() for one in (below, *kinds(below))]


def test_every_error_has_a_code_and_none_is_left_over() -> None:
    """Each error of the server has a row in its table, and each row an error."""
    assert {kind.reason for kind in kinds(ControlError)} == set(CODES)


@pytest.mark.parametrize("reason", sorted(CODES))
def test_the_client_knows_every_reason_and_code(reason: str) -> None:
    """Each reason has a class in the client, and so has its code, for an answer that lost its
    details.
    """
    assert BY_REASON[reason].__name__ == RAISED[reason]
    assert CODES[reason].name in BY_CODE


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "😀"])
def test_an_error_keeps_room_for_its_details(letter: str) -> None:
    """However many violations there are, and whatever they quote, some are named within the bound
    of what gRPC carries.
    """
    long = letter * 600
    fields = [FieldViolation(f"jobs[{place}].labels[{long}]", long) for place in range(100)]
    status = to_status(InvalidParameter(*fields, type="t"))
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert bad.field_violations[0].field.startswith("jobs[0].labels[")
    assert status.ByteSize() <= METADATA_MAX
    assert status.message.endswith("…")
