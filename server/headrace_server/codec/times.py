"""Times and lengths of time: microseconds here, Timestamp and Duration in the contract."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from headrace_server.domain.bounds import DURATION_MAX, TIME_MAX, TIME_MIN
from headrace_server.domain.errors import FieldViolation, InvalidArgument

TIMESTAMP_SECONDS: Final = range(-62_135_596_800, 253_402_300_800)
DURATION_SECONDS: Final = range(-315_576_000_000, 315_576_000_001)
NANOS: Final = 1_000_000_000


def refuse(field: str, description: str) -> InvalidArgument:
    """An error about one field."""
    return InvalidArgument(FieldViolation(field, description))


def time(message: Message, field: str, path: str) -> int | None:
    """Return the microseconds of a Timestamp field, or None when it is not set.

    Raises InvalidArgument that names `path`.
    """
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    if stamp.seconds not in TIMESTAMP_SECONDS or not 0 <= stamp.nanos < NANOS:
        raise refuse(path, "That is not a time from year 1 to 9999.")
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000


def duration(message: Message, field: str, path: str) -> int | None:
    """Return the microseconds of a Duration field, or None when it is not set.

    Raises InvalidArgument that names `path`.
    """
    if not message.HasField(field):
        return None
    length: Duration = getattr(message, field)
    mixed = length.seconds * length.nanos < 0
    if length.seconds not in DURATION_SECONDS or abs(length.nanos) >= NANOS or mixed:
        raise refuse(path, "That is not a length of time.")
    return length.seconds * 1_000_000 + int(length.nanos / 1000)


def timestamp(micros: int) -> Timestamp:
    """A time. Raises ValueError for one of no calendar: a client could not read it."""
    if not TIME_MIN <= micros <= TIME_MAX:
        raise ValueError(f"{micros} µs is no time from year 1 to 9999")
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def timestamp_or_none(micros: int | None) -> Timestamp | None:
    """A time, if there is one: a message made with None has no such field."""
    return None if micros is None else timestamp(micros)


def length(micros: int) -> Duration:
    """A length of time. Raises ValueError for one that is longer than the contract has it."""
    if abs(micros) > DURATION_MAX:
        raise ValueError(f"{micros} µs is longer than 10,000 years")
    sign = -1 if micros < 0 else 1
    seconds, rest = divmod(abs(micros), 1_000_000)
    return Duration(seconds=sign * seconds, nanos=sign * rest * 1000)


def length_or_none(micros: int | None) -> Duration | None:
    """A length of time, if there is one."""
    return None if micros is None else length(micros)
