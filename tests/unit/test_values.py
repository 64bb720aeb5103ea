"""headrace.values: Python values, their plain form, and back."""

import enum
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace.values import DEPTH_MAX, File, Reference, UnsupportedValue, decode, dumps, encode
from headrace_server.domain import values as domain
from support.values import python_values


class Colour(enum.StrEnum):
    """Text by another name."""

    RED = "red"


class Level(enum.Enum):
    """Something that is no number and no text itself."""

    HIGH = Decimal("9.50")


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: Any


class Model(BaseModel):
    """A model of pydantic."""

    at: UUID
    points: list[Point]


MODEL = {"at": str(UUID(int=1)), "points": [{"x": 1, "y": None}]}


class Size(enum.IntEnum):
    """A number by another name."""

    BIG = 3


@given(python_values())
def test_round_trip(value: Any) -> None:
    """Every value comes back from its plain form as it went in, also through JSON text."""
    assert decode(json.loads(dumps(encode(value)))) == value


@given(python_values())
def test_the_domain_agrees(value: Any) -> None:
    """What encode accepts has no problem for the server, and has one text on both sides."""
    plain = encode(value)
    assert list(domain.problems({"x": plain}, field="p", max_depth=DEPTH_MAX)) == []
    assert dumps(plain) == domain.dumps(plain)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (b"\0\xff", {"$": "bytes", "v": "AP8="}),
        (date(1, 2, 3), {"$": "date", "v": "0001-02-03"}),
        (datetime(1970, 1, 1, 0, 0, 1, 5, UTC), {"$": "timestamp", "v": 1_000_005}),
        (timedelta(seconds=-1), {"$": "duration", "v": -1_000_000}),
        ({"$": "date"}, {"$": "map", "v": {"$": "date"}}),
        (Reference("order", "4711"), {"$": "reference", "v": {"kind": "order", "id": "4711"}}),
        (
            File("s3://b/k", size=3),
            {"$": "file", "v": {"uri": "s3://b/k", "media_type": "", "size": 3, "digest": ""}},
        ),
        (32.0, 32.0),
        ((1, True, None), [1, True, None]),
    ],
)
def test_plain_form(value: Any, plain: Any) -> None:
    """The plain form is the one that domain.values describes."""
    made = encode(value)
    assert made == plain
    assert dumps(made) == domain.dumps(plain)


@pytest.mark.parametrize(
    ("value", "plain_type", "back"),
    [
        (Colour.RED, str, "red"),
        (Size.BIG, int, 3),
        (bytearray(b"x"), dict, b"x"),
        (OrderedDict(a=1), dict, {"a": 1}),
        (MappingProxyType({"a": 1}), dict, {"a": 1}),
        (Level.HIGH, str, "9.50"),
        (Decimal("1.10"), str, "1.10"),
        (UUID(int=0), str, "00000000-0000-0000-0000-000000000000"),
        (PurePosixPath("a/b"), str, "a/b"),
        (time(12, 30), str, "12:30:00"),
        ({3, 1}, list, [1, 3]),
        (frozenset([1, "a"]) - {1}, list, ["a"]),
        (Point(1, Decimal(2)), dict, {"x": 1, "y": "2"}),
        (Model(at=UUID(int=1), points=[Point(1, None)]), dict, MODEL),
        ({UUID(int=1): Size.BIG, PurePosixPath("p"): None}, dict, {str(UUID(int=1)): 3, "p": None}),
        (
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            dict,
            datetime(2025, 12, 31, 22, tzinfo=UTC),
        ),
    ],
)
def test_relatives(value: Any, plain_type: type, back: Any) -> None:
    """Subclasses and other mappings become the plain kind that they are."""
    plain = encode(value)
    assert type(plain) is plain_type
    assert decode(plain) == back


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (datetime(2026, 1, 1), "naive"),  # noqa: DTZ001 - what is refused
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "years 1 to 9999"),
        (timedelta.max, "10,000 years"),
        (object(), "object"),
        (1j, "complex"),
        (Point, "type"),
        ({1: 2}, "type int"),
        ({"": 2}, "1 to 100"),
        ({"x" * 101: 2}, "1 to 100"),
        ({"a\0": 2}, "NUL"),
        (Reference("a", 3), "type int"),  # type: ignore[arg-type] # what is refused
        (Reference("a\0", "b"), "NUL"),
        (File("x", size=-1), "number of bytes"),
    ],
)
def test_unsupported(value: Any, words: str) -> None:
    """A value that no kind holds is refused in words that say why."""
    with pytest.raises(UnsupportedValue, match=words):
        encode(value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "p[w]"),
        ([1, {"a": [2, object()]}], "p[w][1][a][1]"),
        ({"a": {1: 2}}, "p[w][a][1]"),
        ([File("x", size=-1)], "p[w][0].size"),
        ([Reference("x", "\0")], "p[w][0].id"),
    ],
)
def test_the_path_is_named(value: Any, path: str) -> None:
    """A refusal names where in the value it lies."""
    with pytest.raises(UnsupportedValue) as caught:
        encode(value, "p[w]")
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")


def _nested(levels: int, make: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda value: [value], lambda value: {"a": value}])
def test_depth(make: Any) -> None:
    """Values nest to a depth of 16, the innermost counted, and the server counts alike."""
    plain = encode(_nested(15, make))
    assert list(domain.problems({"x": plain}, field="p", max_depth=16)) == []
    assert list(domain.problems({"x": encode([0]) and [plain]}, field="p", max_depth=16)) != []
    with pytest.raises(UnsupportedValue, match="depth of 16"):
        encode(_nested(16, make))


def test_a_kind_from_the_future() -> None:
    """A tag that this library does not know is an error, never None."""
    with pytest.raises(UnsupportedValue, match="newer version"):
        decode([{"$": "colour", "v": 1}])
    with pytest.raises(UnsupportedValue, match="newer version"):
        decode({"a": 1})


@given(st.binary())
def test_bytes(value: bytes) -> None:
    """Bytes of any length come back."""
    assert decode(encode(value)) == value


def test_numpy() -> None:
    """Scalars of numpy are the Python numbers that they are, arrays are lists; what Python has no
    number for is refused.
    """
    for scalar, number in [
        (np.int8(3), 3),
        (np.uint64(7), 7),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
    ]:
        assert encode(scalar) == number
        assert type(encode(scalar)) is type(number)
    assert encode({"m": np.array([[1, 2], [3, 4]])}) == encode({"m": [[1, 2], [3, 4]]})
    with pytest.raises(UnsupportedValue, match="complex"):
        encode(np.complex64(1j))
    with pytest.raises(UnsupportedValue, match="longdouble"):
        encode(np.longdouble(1))


def test_times_of_numpy() -> None:
    """A time of numpy that Python has too is that; one in nanoseconds is refused, for it would come
    as a bare number.
    """
    assert encode(np.datetime64("2020-01-02")) == encode(date(2020, 1, 2))
    assert encode(np.array([5, 6], "m8[s]")) == encode([timedelta(seconds=5), timedelta(seconds=6)])
    for value in (
        np.datetime64(5, "ns"),
        np.timedelta64(5, "ns"),
        np.array([[5]], "m8[ns]"),
        np.timedelta64(1, "M"),
    ):
        with pytest.raises(UnsupportedValue, match=r"numpy\."):
            encode(value)


def test_names_that_fall_together() -> None:
    """Two names with one text are refused: an entry would be lost without a word."""
    with pytest.raises(UnsupportedValue, match="Two of the names are 'red'"):
        encode({PurePosixPath("red"): 1, "red": 2})
