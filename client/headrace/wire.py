"""The plain form of values as protobuf, and back: for the client and for the server's edge.

Points in time and lengths of time are kept to the microsecond: what is finer is cut off.
"""

import binascii
from collections.abc import Callable, Mapping, MutableMapping
from datetime import date
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE
from google.protobuf.unknown_fields import UnknownFieldSet

from headrace.v1 import value_pb2
from headrace.values import Plain, UnsupportedValue

__all__ = ["InvalidValue", "UnknownKind", "from_proto", "map_from_proto", "map_to_proto", "to_proto"]

_SECOND = 1_000_000
_TIME_SECONDS = (-62_135_596_800, 253_402_300_799)  # the years 1 to 9999
_DURATION_SECONDS = 315_576_000_000  # 10,000 years
_NANOS = 1_000_000_000


class InvalidValue(ValueError):
    """A Value that says nothing, or something that is not so.

    `path` says where it lies, such as `parameters[sizes][3]`; `description` what is wrong with it.
    """

    def __init__(self, path: str, description: str) -> None:
        super().__init__(path, description)
        self.path = path
        self.description = description

    def __str__(self) -> str:
        return f"{self.path}: {self.description}" if self.path else self.description


class UnknownKind(InvalidValue, UnsupportedValue):
    """A Value of a kind newer than this library.

    It is unsupported where it is read, and invalid where it was sent to.
    """


def to_proto(plain: Plain) -> value_pb2.Value:
    """The Value of a plain value, as `headrace.values.encode` made it."""
    value = value_pb2.Value()
    _fill(value, plain)
    return value


def map_to_proto(target: MutableMapping[str, value_pb2.Value], values: Mapping[str, Plain]) -> None:
    """Add named plain values to a map field of a message, such as `spec.parameters`."""
    for name, plain in values.items():
        _fill(target[name], plain)


def from_proto(value: value_pb2.Value) -> Plain:
    """The plain value of a Value.

    Raises InvalidValue where no kind is set, and for a date, time, duration or size that does not
    exist; UnknownKind, which is also a headrace.values.UnsupportedValue, for a kind newer than this
    library. Depth, NUL and NaN pass.
    """
    kind = value.WhichOneof("kind")
    if kind is None:
        if len(UnknownFieldSet(value)):
            raise UnknownKind("", "A value of a kind that needs a newer version of headrace.")
        raise InvalidValue("", "A Value has one kind set; this one has none.")
    return _READERS[kind](value)


def map_from_proto(values: Mapping[str, value_pb2.Value], field: str = "parameters") -> dict[str, Plain]:
    """Return the plain values of a map field.

    The path of an error begins with `field`, such as `parameters[width]`.
    """
    try:
        return _entries(values)
    except InvalidValue as error:
        error.path = field + error.path
        raise


def _fill(value: value_pb2.Value, plain: Plain) -> None:
    kind = type(plain)
    if kind is str:
        value.string_value = plain
    elif kind is bool:
        value.bool_value = plain
    elif kind is int:
        value.int_value = plain
    elif kind is float:
        value.double_value = plain
    elif plain is None:
        value.null_value = NULL_VALUE
    elif kind is list:
        value.list_value.SetInParent()  # an empty list is a list
        add = value.list_value.values.add
        for item in plain:
            _fill(add(), item)
    else:
        _FILLERS[plain["$"]](value, plain["v"])


def _fill_bytes(value: value_pb2.Value, text: str) -> None:
    value.bytes_value = binascii.a2b_base64(text)


def _fill_date(value: value_pb2.Value, text: str) -> None:
    day = date.fromisoformat(text)
    value.date_value.year, value.date_value.month, value.date_value.day = day.year, day.month, day.day


def _fill_timestamp(value: value_pb2.Value, at: int) -> None:
    stamp = value.timestamp_value
    stamp.SetInParent()  # the epoch is a time
    seconds, micros = divmod(at, _SECOND)
    stamp.seconds, stamp.nanos = seconds, micros * 1000


def _fill_duration(value: value_pb2.Value, length: int) -> None:
    span = value.duration_value
    span.SetInParent()  # no time at all is a length of time
    seconds, micros = divmod(abs(length), _SECOND)
    sign = -1 if length < 0 else 1  # of both parts, as protobuf wants it
    span.seconds, span.nanos = sign * seconds, sign * micros * 1000


def _fill_map(value: value_pb2.Value, entries: Mapping[str, Plain]) -> None:
    value.map_value.SetInParent()
    map_to_proto(value.map_value.values, entries)


def _fill_reference(value: value_pb2.Value, parts: Mapping[str, str]) -> None:
    value.reference_value.SetInParent()
    value.reference_value.kind, value.reference_value.id = parts["kind"], parts["id"]


def _fill_file(value: value_pb2.Value, parts: Mapping[str, Any]) -> None:
    file = value.file_value
    file.SetInParent()
    file.uri, file.media_type, file.digest = parts["uri"], parts["media_type"], parts["digest"]
    if parts["size"] is not None:
        file.size = parts["size"]


_FILLERS: dict[str, Callable[[value_pb2.Value, Any], None]] = {
    "bytes": _fill_bytes,
    "date": _fill_date,
    "timestamp": _fill_timestamp,
    "duration": _fill_duration,
    "map": _fill_map,
    "reference": _fill_reference,
    "file": _fill_file,
}


def _entries(values: Mapping[str, value_pb2.Value]) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    name = ""
    try:
        for name, value in values.items():
            plain[name] = from_proto(value)
    except InvalidValue as error:
        error.path = f"[{name}]{error.path}"
        raise
    return plain


def _read_list(value: value_pb2.Value) -> Plain:
    plain: list[Plain] = []
    try:
        for item in value.list_value.values:
            plain.append(from_proto(item))  # noqa: PERF401 - its length says where it broke off
    except InvalidValue as error:
        error.path = f"[{len(plain)}]{error.path}"
        raise
    return plain


def _read_bytes(value: value_pb2.Value) -> Plain:
    return {"$": "bytes", "v": binascii.b2a_base64(value.bytes_value, newline=False).decode("ascii")}


def _read_date(value: value_pb2.Value) -> Plain:
    given = value.date_value
    try:
        return {"$": "date", "v": date(given.year, given.month, given.day).isoformat()}
    except ValueError:
        text = f"{given.year}-{given.month}-{given.day}"
        raise InvalidValue("", f"There is no date {text} in the years 1 to 9999.") from None


def _read_timestamp(value: value_pb2.Value) -> Plain:
    seconds, nanos = value.timestamp_value.seconds, value.timestamp_value.nanos
    earliest, latest = _TIME_SECONDS
    if not (earliest <= seconds <= latest and 0 <= nanos < _NANOS):
        raise InvalidValue("", "A timestamp lies in the years 1 to 9999, its nanos from 0 to 999999999.")
    return {"$": "timestamp", "v": seconds * _SECOND + nanos // 1000}


def _read_duration(value: value_pb2.Value) -> Plain:
    seconds, nanos = value.duration_value.seconds, value.duration_value.nanos
    if abs(seconds) > _DURATION_SECONDS or abs(nanos) >= _NANOS:
        raise InvalidValue("", "A duration has up to 315576000000 seconds and 999999999 nanos.")
    if (seconds < 0 < nanos) or (nanos < 0 < seconds):
        raise InvalidValue("", "The seconds and nanos of a duration have one sign.")
    sign = -1 if nanos < 0 else 1
    return {"$": "duration", "v": seconds * _SECOND + sign * (abs(nanos) // 1000)}


def _read_map(value: value_pb2.Value) -> Plain:
    return {"$": "map", "v": _entries(value.map_value.values)}


def _read_reference(value: value_pb2.Value) -> Plain:
    given = value.reference_value
    return {"$": "reference", "v": {"kind": given.kind, "id": given.id}}


def _read_file(value: value_pb2.Value) -> Plain:
    given = value.file_value
    size = given.size if given.HasField("size") else None
    if size is not None and size < 0:
        raise InvalidValue("", "The size of a file is not negative.")
    return {
        "$": "file",
        "v": {"uri": given.uri, "media_type": given.media_type, "size": size, "digest": given.digest},
    }


_READERS: dict[str, Callable[[value_pb2.Value], Plain]] = {
    "null_value": lambda _value: None,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: value.double_value,
    "string_value": lambda value: value.string_value,
    "bytes_value": _read_bytes,
    "date_value": _read_date,
    "timestamp_value": _read_timestamp,
    "duration_value": _read_duration,
    "list_value": _read_list,
    "map_value": _read_map,
    "reference_value": _read_reference,
    "file_value": _read_file,
}
