"""headrace.wire: the plain form of values as protobuf, and back."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.v1 import job_pb2, value_pb2
from headrace.values import UnsupportedValue, decode, encode
from headrace.wire import InvalidValue, from_proto, map_from_proto, map_to_proto, to_proto
from support.values import NAMES, python_values

Value = value_pb2.Value


@given(python_values())
def test_round_trip(value: Any) -> None:
    """Every value comes back from the wire as it went in, kind and all."""
    plain = encode(value)
    received = from_proto(Value.FromString(to_proto(plain).SerializeToString()))
    assert received == plain
    back = decode(received)
    assert back == value
    assert type(back) is type(value)


@given(st.dictionaries(NAMES, python_values(), max_size=4))
def test_named_values(values: dict[str, Any]) -> None:
    """Named values fill a map field and come back from it."""
    spec = job_pb2.JobSpec()
    plain = {name: encode(value) for name, value in values.items()}
    map_to_proto(spec.parameters, plain)
    assert map_from_proto(spec.parameters) == plain


@pytest.mark.parametrize("plain", [None, False, 0, 0.0, "", [], encode({}), encode(b"")])
def test_empty_values_say_their_kind(plain: Any) -> None:
    """Nothing, zero and the empty ones set their kind: a Value without one is an error."""
    assert to_proto(plain).WhichOneof("kind")
    assert from_proto(to_proto(plain)) == plain


def _value(**kind: Any) -> value_pb2.Value:
    return Value(**kind)


def _time(seconds: int, nanos: int) -> value_pb2.Value:
    value = Value()
    value.timestamp_value.seconds, value.timestamp_value.nanos = seconds, nanos
    return value


def _length(seconds: int, nanos: int) -> value_pb2.Value:
    value = Value()
    value.duration_value.seconds, value.duration_value.nanos = seconds, nanos
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Value(), "has none"),
        (_value(date_value=value_pb2.Date(year=2026, month=2, day=29)), "no date 2026-2-29"),
        (_value(date_value=value_pb2.Date()), "no date 0-0-0"),
        (_value(date_value=value_pb2.Date(year=10_000, month=1, day=1)), "no date"),
        (_time(253_402_300_800, 0), "years 1 to 9999"),
        (_time(-62_135_596_801, 0), "years 1 to 9999"),
        (_time(0, -1), "nanos"),
        (_time(0, 1_000_000_000), "nanos"),
        (_length(315_576_000_001, 0), "315576000000 seconds"),
        (_length(0, 1_000_000_000), "999999999 nanos"),
        (_length(1, -1), "one sign"),
        (_length(-1, 1), "one sign"),
        (_value(file_value=value_pb2.File(uri="x", size=-1)), "not negative"),
    ],
)
def test_invalid(value: value_pb2.Value, words: str) -> None:
    """A Value that says nothing true is refused in words that say why."""
    with pytest.raises(InvalidValue, match=words):
        from_proto(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (_time(1, 999), 1_000_000),
        (_time(-1, 999_999_999), -1),
        (_length(-1, -1_999), -1_000_001),
        (_length(0, 999), 0),
        (_time(253_402_300_799, 999_999_999), 253_402_300_799_999_999),
    ],
)
def test_kept_to_the_microsecond(value: value_pb2.Value, plain: int) -> None:
    """What is finer than a microsecond is cut off."""
    assert from_proto(value)["v"] == plain


def test_a_duration_has_one_sign() -> None:
    """A negative length of time has both parts negative, as protobuf wants it."""
    span = to_proto({"$": "duration", "v": -1_500_000}).duration_value
    assert (span.seconds, span.nanos) == (-1, -500_000_000)


def test_a_kind_from_the_future() -> None:
    """A kind that this library does not know is UnsupportedValue for a client and InvalidValue for
    a server.
    """
    newer = Value.FromString(b"\xfa\x01\x02hi")  # field 31
    with pytest.raises(UnsupportedValue, match="newer version") as caught:
        from_proto(newer)
    assert isinstance(caught.value, InvalidValue)


def test_the_path_is_named() -> None:
    """A refusal names the field, the name and the place of the value."""
    spec = job_pb2.JobSpec()
    map_to_proto(spec.parameters, {"sizes": [1, encode({"a": [2]})]})
    spec.parameters["sizes"].list_value.values[1].map_value.values["a"].list_value.values.add()
    with pytest.raises(InvalidValue) as caught:
        map_from_proto(spec.parameters, "spec.parameters")
    assert caught.value.path == "spec.parameters[sizes][1][a][1]"
    assert str(caught.value) == f"{caught.value.path}: {caught.value.description}"


def test_what_the_domain_checks_passes() -> None:
    """NaN, NUL and depth pass: the server's domain finds those with their paths."""
    assert math.isnan(from_proto(Value(double_value=math.nan)))
    assert from_proto(Value(string_value="\0")) == "\0"
