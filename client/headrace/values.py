"""Python values as parameters and results: their plain form, and back.

    None, bool, int, float, str      as they are; int within 64 bits, float finite, str without NUL
    bytes, bytearray                 kept as bytes
    datetime.date                    a calendar date
    datetime.datetime                a point in time; naive ones are refused; read back in UTC
    datetime.timedelta               a length of time
    list, tuple                      read back as a list
    dict, other mappings             names are text of 1 to 100 characters
    Reference, File                  a business entity; a file that lies elsewhere
    Enum, Decimal, UUID, Path, set, dataclasses, pydantic models, numpy scalars and arrays
                                     as `headrace._richer` says, read back in that form

The plain form is what JSON can hold, with a tag where JSON has no word of its own:
`{"$": "bytes", "v": …}`. It is the form in which the server stores values and a worker receives
them. `headrace.wire` turns it into protobuf.
"""

import base64
import binascii
import importlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from headrace._richer import simpler

__all__ = [
    "DEPTH_MAX",
    "NAME_MAX",
    "File",
    "Plain",
    "Reference",
    "UnsupportedValue",
    "decode",
    "dumps",
    "encode",
    "loads",
]

Plain = Any
"""A value in the plain form.

It is None, bool, int, float, str, list, or a dict with the keys "$" and "v".
"""

DEPTH_MAX: Final = 16
"""How deep lists and maps nest: a value counts one, each list or map around it one more."""

NAME_MAX: Final = 100
"""How many characters the name of a parameter, a result or an entry of a map may have."""

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION_MAX = 315_576_000_000 * 1_000_000  # what google.protobuf.Duration can say


class UnsupportedValue(TypeError):
    """A value that Headrace cannot carry.

    It is a Python value of no known kind, or a value of a kind that is newer than this library.

    `path` says where it lies, such as `parameters[sizes][3]`; `description` what is wrong with it.
    """

    def __init__(self, path: str, description: str) -> None:
        super().__init__(path, description)
        self.path = path
        self.description = description

    def __str__(self) -> str:
        return f"{self.path}: {self.description}" if self.path else self.description


class _Carried:
    """A type of its own in the plain form.

    It makes pydantic, where a program uses it, leave instances whole.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # By name, because this module is for programs without pydantic too.
        return importlib.import_module("headrace._carried").carried_schema(source, handler)


@dataclass(frozen=True, slots=True)
class Reference(_Carried):
    """A business entity of the caller, such as `Reference("order", "4711")`.

    Headrace keeps it, and does not resolve it.
    """

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class File(_Carried):
    """A file that lies elsewhere: where it is, not its content.

    media_type is such as "image/png", size is in bytes, digest has its algorithm in front
    ("sha256:…"). They are "" or None when unknown.
    """

    uri: str
    media_type: str = ""
    size: int | None = None
    digest: str = ""


_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def dumps(plain: Plain) -> str:
    """The one text of a plain value: keys sorted, no white space, not escaped to ASCII."""
    return _dumps(plain)


_loads = json.JSONDecoder().decode
"""The JSON decoder, bound here as `_dumps` is, so that job code cannot replace it.

A job module that replaces json.loads replaces it for its whole process.
"""


def loads(text: str) -> Plain:
    """The plain value of its text. Raises ValueError for what is no JSON."""
    return _loads(text)


def encode(value: Any, path: str = "") -> Plain:
    """A Python value in the plain form.

    Raises UnsupportedValue, its path beginning with `path`, for a type of no kind, an int beyond 64
    bits, a float that is not finite, a naive datetime, text that is no Unicode or holds NUL, a bad
    name, or nesting too deep.
    """
    try:
        return _encode(value, DEPTH_MAX)
    except UnsupportedValue as error:
        error.path = path + error.path
        raise


def decode(plain: Plain) -> Any:
    """Return the Python value of a plain value.

    Raises UnsupportedValue for a tag that this library does not know.
    """
    if type(plain) is list:
        return [decode(item) for item in plain]
    if type(plain) is not dict:
        return plain
    tag = plain.get("$")
    read = _DECODERS.get(tag) if isinstance(tag, str) else None
    if read is None:
        raise UnsupportedValue("", f"A value of kind {tag!r} needs a newer version of headrace.")
    return read(plain["v"])


def _encode(value: Any, depth: int) -> Plain:
    kind = type(value)
    if value is None or kind is bool:
        return value
    write = _ENCODERS.get(kind)
    if write is None:
        write = next((write for known, write in _ENCODERS_BY_CLASS if isinstance(value, known)), None)
    if write is None:
        richer = simpler(value)
        if richer is not NotImplemented:
            return _encode(richer, depth)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        raise UnsupportedValue("", f"No value holds a Python {name}.")
    return write(value, depth)


def _int(value: int, _depth: int) -> Plain:
    if not _INT_MIN <= value <= _INT_MAX:
        raise UnsupportedValue("", "An int has at most 64 bits.")
    return int(value)


def _float(value: float, _depth: int) -> Plain:
    if not math.isfinite(value):
        raise UnsupportedValue("", f"A float is finite; this one is {value!r}.")
    return float(value)


def _text(value: str, what: str = "A str", path: str = "") -> str:
    if "\0" in value:
        raise UnsupportedValue(path, f"{what} contains no NUL character.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UnsupportedValue(
                path, f"{what} is Unicode text; this one holds a lone surrogate."
            ) from error
    return value if type(value) is str else str.__str__(value)


def _bytes(value: bytes, _depth: int) -> Plain:
    return {"$": "bytes", "v": binascii.b2a_base64(value, newline=False).decode("ascii")}


def _date(value: date, _depth: int) -> Plain:
    return {"$": "date", "v": f"{value.year:04}-{value.month:02}-{value.day:02}"}


def _microseconds(delta: timedelta) -> int:
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


_TIME_MIN = _microseconds(datetime.min.replace(tzinfo=UTC) - _EPOCH)
_TIME_MAX = _microseconds(datetime.max.replace(tzinfo=UTC) - _EPOCH)


def _datetime(value: datetime, _depth: int) -> Plain:
    if value.utcoffset() is None:
        raise UnsupportedValue("", "A datetime has a time zone; this one is naive.")
    at = _microseconds(value - _EPOCH)
    if not _TIME_MIN <= at <= _TIME_MAX:
        raise UnsupportedValue("", "A datetime lies in the years 1 to 9999 of UTC.")
    return {"$": "timestamp", "v": at}


def _timedelta(value: timedelta, _depth: int) -> Plain:
    length = _microseconds(value)
    if abs(length) > _DURATION_MAX:
        raise UnsupportedValue("", "A timedelta is at most 10,000 years long.")
    return {"$": "duration", "v": length}


def _check_depth(depth: int) -> None:
    if depth <= 1:
        raise UnsupportedValue("", f"Values nest to a depth of {DEPTH_MAX}.")


def _list(value: list[Any] | tuple[Any, ...], depth: int) -> Plain:
    _check_depth(depth)
    plain: list[Plain] = []
    index = 0
    try:
        for index, item in enumerate(value):  # noqa: B007 - the handler reads it
            plain.append(_encode(item, depth - 1))
    except UnsupportedValue as error:
        error.path = f"[{index}]{error.path}"
        raise
    return plain


def _map(value: Mapping[Any, Any], depth: int) -> Plain:
    _check_depth(depth)
    plain: dict[str, Plain] = {}
    name: Any = ""
    try:
        for name, item in value.items():
            plain[_new(_name(name), plain)] = _encode(item, depth - 1)
    except UnsupportedValue as error:
        error.path = f"[{name}]{error.path}"
        raise
    return {"$": "map", "v": plain}


def _new(name: str, entries: Mapping[str, Plain]) -> str:
    if name in entries:
        raise UnsupportedValue("", f"Two of the names are {name!r} as text.")
    return name


def _name(name: Any) -> str:
    if not isinstance(name, str):
        kind, name = type(name), simpler(name)
        if not isinstance(name, str):
            raise UnsupportedValue("", f"A name is a str; this one is of type {kind.__qualname__}.")
    if not 1 <= len(name) <= NAME_MAX:
        raise UnsupportedValue("", f"A name is 1 to {NAME_MAX} characters long.")
    return _text(name, "A name")


def _part(part: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UnsupportedValue("." + part, f"It is a str; this one is of type {type(value).__qualname__}.")
    return _text(value, "It", "." + part)


def _reference(value: Reference, _depth: int) -> Plain:
    return {"$": "reference", "v": {"kind": _part("kind", value.kind), "id": _part("id", value.id)}}


def _file(value: File, _depth: int) -> Plain:
    size = value.size
    if size is not None and (not isinstance(size, int) or not 0 <= size <= _INT_MAX):
        raise UnsupportedValue(".size", "It is a number of bytes, or None.")
    parts = {name: _part(name, getattr(value, name)) for name in ("uri", "media_type", "digest")}
    return {"$": "file", "v": {**parts, "size": size}}


_ENCODERS: dict[type, Callable[[Any, int], Plain]] = {
    int: _int,
    float: _float,
    str: lambda value, _depth: _text(value),
    bytes: _bytes,
    bytearray: _bytes,
    datetime: _datetime,
    date: _date,
    timedelta: _timedelta,
    list: _list,
    tuple: _list,
    dict: _map,
    Reference: _reference,
    File: _file,
}
# For subclasses; datetime stands before date, which it is a subclass of.
_ENCODERS_BY_CLASS = (*_ENCODERS.items(), (Mapping, _map))

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "bytes": base64.b64decode,
    "date": date.fromisoformat,
    "timestamp": lambda at: _EPOCH + timedelta(microseconds=at),
    "duration": lambda length: timedelta(microseconds=length),
    "map": lambda entries: {name: decode(value) for name, value in entries.items()},
    "reference": lambda parts: Reference(**parts),
    "file": lambda parts: File(**parts),
}
