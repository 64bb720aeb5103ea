"""Lengths of time and points in time."""

from datetime import UTC, datetime, timedelta

import pytest

from headrace.cli.times import json_moment, json_span, read_future, read_past, read_span, show_span


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("2d", 172_800),
        ("0s", 0),
    ],
)
def test_a_length_of_time(typed: str, seconds: float) -> None:
    """A number is seconds, and units add up."""
    assert read_span(typed) == timedelta(seconds=seconds)


@pytest.mark.parametrize("typed", ["", "x", "-5s", "5 s", "5s!", "s5", "1e3"])
def test_no_length_of_time(typed: str) -> None:
    """Anything else is refused with examples."""
    with pytest.raises(ValueError, match="write it as 30s"):
        read_span(typed)


def test_a_length_of_time_without_end() -> None:
    """A length that no clock can count is refused, not raised as an overflow."""
    with pytest.raises(ValueError, match="longer than any"):
        read_span("99999999999999d")


def test_a_point_in_time() -> None:
    """A point in time is ISO 8601, or counts from now: ahead for --run-after, back for --since."""
    assert read_future("2030-01-31T12:00:00Z") == datetime(2030, 1, 31, 12, tzinfo=UTC)
    before = datetime.now(UTC)
    assert before < read_future("+30s") - timedelta(seconds=30) <= datetime.now(UTC)
    assert before < read_past("2h") + timedelta(hours=2) <= datetime.now(UTC)
    assert read_past("2030-01-31").utcoffset() is not None


@pytest.mark.parametrize("typed", ["tomorrow", "30s", "+", "+x", "+99999999999d"])
def test_no_point_in_time_ahead(typed: str) -> None:
    """What is no point in time is refused in a sentence."""
    with pytest.raises(ValueError, match=r"point in time|length of time|calendar|counted"):
        read_future(typed)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0s"), (9.94, "9.9s"), (42.4, "42s"), (185, "3m05s"), (7800, "2h10m"), (356_400, "4d03h")],
)
def test_a_length_of_time_is_shown(seconds: float, shown: str) -> None:
    """A length has at most two units."""
    assert show_span(timedelta(seconds=seconds)) == shown
    assert show_span(None) == ""


def test_json_has_the_forms_of_protobuf() -> None:
    """In JSON a point in time ends in Z and a length of time in s."""
    assert json_moment(datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)) == "2030-01-31T12:00:00.500000Z"
    assert json_span(timedelta(seconds=90)) == "90s"
    assert json_span(timedelta(milliseconds=1500)) == "1.5s"
    assert json_span(timedelta(0)) == "0s"
