"""The notation in which the command prints parameters and takes them back.

It is JSON, with a word for each kind of value that JSON has none for.

    bytes {"$bytes": "aGk="}                   date {"$date": "2026-11-22"}
    duration {"$duration": "90s"}              timestamp {"$timestamp": "2026-11-22T12:00:00Z"}
    reference {"$reference": {"kind", "id"}}   file {"$file": {"uri", …}}

A map is a JSON object, its names in order; one that could be taken for a word is written {"$map":
{…}}.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any, Final

from headrace.cli.times import json_moment
from headrace.values import File, Reference

_SPAN: Final = re.compile(r"(-?)(\d+)(?:\.(\d{1,6}))?s")
_TICK: Final = timedelta(microseconds=1)
_MAP: Final = "$map"


def show(value: Any) -> Any:
    """A value as JSON can hold it, so that `read` makes the same of it."""
    if isinstance(value, Mapping):
        shown = {name: show(item) for name, item in sorted(value.items())}
        return {_MAP: shown} if _word(shown) else shown
    if isinstance(value, list | tuple):
        return [show(item) for item in value]
    for word, (kind, write, _) in _WORDS.items():
        if isinstance(value, kind):
            return {word: write(value)}
    return value


def read(written: Any) -> Any:
    """Return the value that was written as JSON or YAML.

    Raises ValueError for a word that does not exist, or that says nothing.
    """
    if isinstance(written, list):
        return [read(item) for item in written]
    if not isinstance(written, Mapping):
        return written
    word = _word(written)
    if not word or (word == _MAP and isinstance(written[_MAP], Mapping)):
        return {name: read(item) for name, item in (written[_MAP] if word else written).items()}
    if word not in _WORDS:
        known = ", ".join(_WORDS)
        raise ValueError(f"{word!r} is no kind of value: there are {known}; a map of that name is {_MAP}.")
    try:
        return _WORDS[word][2](written[word])
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"{written[word]!r} is no value of kind {word}.") from None


def _word(written: Mapping[Any, Any]) -> str:
    """The one name of a map, where it may be a word; else ""."""
    name = next(iter(written)) if len(written) == 1 else ""
    return name if isinstance(name, str) and name.startswith("$") else ""


def _write_span(length: timedelta) -> str:
    seconds, rest = divmod(abs(length) // _TICK, 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if length < timedelta() else ''}{seconds}{fraction}s"


def _read_span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(text)
    sign, seconds, fraction = match.groups("")
    length = timedelta(seconds=int(seconds), microseconds=int(fraction.ljust(6, "0")))
    return -length if sign else length


_WORDS: Final[Mapping[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "$bytes": (
        bytes,
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(text, validate=True),
    ),
    # Before date, of which it is a subclass.
    "$timestamp": (datetime, json_moment, datetime.fromisoformat),
    "$date": (date, date.isoformat, date.fromisoformat),
    "$duration": (timedelta, _write_span, _read_span),
    "$reference": (Reference, asdict, lambda parts: Reference(**parts)),
    "$file": (File, asdict, lambda parts: File(**parts)),
}
