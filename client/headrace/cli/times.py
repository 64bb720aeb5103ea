"""Lengths of time and points in time, as people type and read them."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_EXACT_BELOW = 10  # seconds below which tenths matter


def read_span(text: str) -> timedelta:
    """A length of time: 90, 90s, 1h30m, 250ms, 2d; a bare number is seconds. Raises ValueError."""
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"{text!r} is no length of time; write it as 30s, 5m, 1h30m or 2d.")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any length of time that can be counted.") from None


NEVER = datetime.max.replace(tzinfo=UTC)
"""The value of "none" where a point in time can be removed."""


def read_future(text: str) -> datetime:
    """Return the point in time that a text names: ISO 8601, or a delay from now such as +30s.

    "none" gives NEVER. Raises ValueError.
    """
    if text.lower() == "none":
        return NEVER
    return _moment(text, "+", 1, "+30s, +5m")


def unless_never(moment: datetime | None) -> datetime | None:
    """A point in time, None for NEVER."""
    return None if moment is NEVER else moment


def read_past(text: str) -> datetime:
    """A point in time: ISO 8601, or 30s for so long ago. Raises ValueError."""
    return _moment(text, "", -1, "30s or 2h for so long ago")


def _moment(text: str, sign: str, direction: int, examples: str) -> datetime:
    if text.startswith(sign):
        try:
            return datetime.now(UTC) + direction * read_span(text.removeprefix(sign))
        except OverflowError:
            raise ValueError(f"{text!r} lies beyond the calendar.") from None
        except ValueError:
            if sign:
                raise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no point in time; write it as 2030-01-31T12:00:00Z or as {examples}."
        ) from None
    try:
        # Without a zone it is meant as the clock on the wall shows it.
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} lies beyond the calendar.") from None


def show_span(length: timedelta | None) -> str:
    """A length of time in at most two units, "" for none: 0.3s, 42s, 3m05s, 2h10m, 4d03h."""
    if length is None:
        return ""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < _EXACT_BELOW:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"


def show_age(moment: datetime | None) -> str:
    """How long ago a point in time was, "" for none."""
    return "" if moment is None else show_span(datetime.now(UTC) - moment)


def show_moment(moment: datetime | None) -> str:
    """A point in time in the zone of this machine, to the second; "" for none."""
    return "" if moment is None else _here(moment).strftime("%Y-%m-%d %H:%M:%S %Z")


def show_clock(moment: datetime | None) -> str:
    """The time of day of a point in time in the zone of this machine; "" for none."""
    return "" if moment is None else _here(moment).strftime("%H:%M:%S")


def _here(moment: datetime) -> datetime:
    """In the zone of this machine; as it is, at the ends of the calendar."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError):
        return moment


def json_moment(moment: datetime) -> str:
    """A point in time as protobuf's JSON has it: UTC with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_span(length: timedelta) -> str:
    """A length of time as protobuf's JSON has it: seconds with an s."""
    return f"{length.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
