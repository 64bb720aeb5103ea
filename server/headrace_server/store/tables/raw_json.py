"""JSON texts by their parts, each as it was written.

Parts of a record that this version does not know are so kept byte for byte.

To read a number or a text and to write it again may give other bytes: 1.10 becomes 1.1, an escape
becomes a letter.
"""

import re
from collections.abc import Collection, Iterator
from json import JSONDecoder
from typing import Final

_read: Final = JSONDecoder().raw_decode
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def members(text: str) -> Iterator[tuple[str, str, str]]:
    """Of a JSON object: name, value as written, and both with what stands between.

    Raises ValueError, or IndexError.
    """
    at = _behind(text, 0, "{")
    while text[at] != "}":
        name, colon = _read(text, at)
        begin = _skip(text, _behind(text, colon, ":"))
        _, end = _read(text, begin)
        yield name, text[begin:end], text[at:end]
        at = _next(text, end, "}")


def elements(text: str) -> Iterator[str]:
    """The elements of a JSON array, as written. Raises ValueError, or IndexError."""
    at = _behind(text, 0, "[")
    while text[at] != "]":
        _, end = _read(text, at)
        yield text[at:end]
        at = _next(text, end, "]")


def other_members(text: str, known: Collection[str]) -> str:
    """Return the members of an object that are not among the known ones, as they were written."""
    return ",".join(written for name, _, written in members(text) if name not in known)


def with_members(text: str, others: str) -> str:
    """An object with these members behind its own."""
    if not others:
        return text
    return f"{text[:-1]},{others}}}" if text != "{}" else f"{{{others}}}"


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _behind(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise ValueError(f"no {mark} at {at}")
    return _skip(text, at + 1)


def _next(text: str, at: int, end: str) -> int:
    """Where the next part begins behind one that ends here, or where the end stands."""
    at = _skip(text, at)
    return at if text.startswith(end, at) else _behind(text, at, ",")
