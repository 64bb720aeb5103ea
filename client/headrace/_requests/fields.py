"""What messages of the contract have in common: words, times, values, errors, as headrace.info has them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from headrace import info, values, wire
from headrace._models.enums import (
    ErrorKind,
    GateScope,
    JobStatus,
    MessageLevel,
    MessageSource,
    StopOutcome,
    StopPhase,
)
from headrace.v1 import job_pb2, value_pb2

W = TypeVar("W", JobStatus, ErrorKind, StopOutcome, StopPhase, MessageLevel, MessageSource, GateScope)


def status(number: int) -> JobStatus:
    """The status of a number."""
    return word(JobStatus, job_pb2.JobStatus.DESCRIPTOR, number, "JOB_STATUS_")


def phase(number: int) -> StopPhase:
    """The phase of a stop of a number."""
    return word(StopPhase, job_pb2.JobStop.Phase.DESCRIPTOR, number, "PHASE_")


def word(words: type[W], names: EnumDescriptor, number: int, prefix: str) -> W:
    """The word for a number; UNKNOWN for one that is newer than this client, or not given."""
    value = names.values_by_number.get(number)
    name = value.name.removeprefix(prefix) if value is not None else "UNKNOWN"
    return words[name] if name in words.__members__ else words.UNKNOWN


def failure(
    message: job_pb2.JobInfo | job_pb2.Attempt | job_pb2.JobStatusChanged,
) -> info.JobError | None:
    """The error of a message that may hold one."""
    if not message.HasField("error"):
        return None
    error = message.error
    return info.JobError(
        kind=word(ErrorKind, job_pb2.JobError.Kind.DESCRIPTOR, error.kind, "KIND_"),
        code=error.code,
        type=error.type,
        message=error.message,
        step=error.step,
        traceback=error.traceback,
    )


def time_of(message: Message, field: str) -> datetime | None:
    """A time; None when it is not set, or lies beyond the calendar."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):  # beyond the calendar: the rest of the answer is none the worse
        return None


def duration_of(message: Message, field: str) -> timedelta | None:
    """A length of time; None when it is not set, or is beyond what a timedelta holds."""
    if not message.HasField(field):
        return None
    span: Duration = getattr(message, field)
    try:
        return span.ToTimedelta()
    except (ValueError, OverflowError):  # likewise
        return None


def value_of(message: value_pb2.Value) -> Any:
    """The Python value of a message. Raises values.UnsupportedValue."""
    return values.decode(wire.from_proto(message))


def values_of(messages: Mapping[str, value_pb2.Value], field: str) -> dict[str, Any]:
    """The Python values by name. Raises values.UnsupportedValue, its path beginning with `field`."""
    return {name: values.decode(plain) for name, plain in wire.map_from_proto(messages, field).items()}
