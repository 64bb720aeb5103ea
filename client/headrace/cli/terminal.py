"""Writes to the terminal, or to a file or a pipe.

The module knows whether the output is a terminal, how wide it is and which colours it has, and
keeps control characters out of it.

Colours follow NO_COLOR and the kind of terminal, by rich. Text that others wrote is never taken as
markup, and never reaches the terminal with an escape sequence in it.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

from rich.console import Console
from rich.text import Text

_DELETE = "\x7f"
_STYLES = {
    "PENDING": "yellow",
    "QUEUED": "yellow",
    "TO_BE_RUN": "cyan",
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "ABORTED": "magenta",
}


@cache
def stdout() -> Console:
    """Return the console for data."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


@cache
def stderr() -> Console:
    """Return the console for everything else."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def follows_live() -> bool:
    """Whether stderr is a terminal on which a line can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def write(text: str | Text = "") -> None:
    """Write a line of data.

    In a pipe it is written exactly as it is; on a terminal control characters are escaped, so that
    none takes effect.
    """
    if not sys.stdout.isatty():
        sys.stdout.write(f"{text}\n")
    elif isinstance(text, str):
        sys.stdout.write(f"{clean(text, lines=True)}\n")
    else:
        stdout().print(_harmless(text))


def note(text: str | Text) -> None:
    """A line beside the data."""
    stderr().print(_harmless(text))


def _harmless(text: str | Text) -> str | Text:
    """A text without control characters; one that had some loses its colours."""
    plain = str(text)
    shown = clean(plain, lines=True)
    return text if shown == plain else shown


def status(word: str, width: int = 0) -> Text:
    """A status in its colour, padded."""
    return Text(word.ljust(width), _STYLES.get(word, ""))


def _in_python(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _in_json(letter: str) -> str:
    return json.dumps(letter)[1:-1] if letter > _DELETE else f"\\u{ord(letter):04x}"


def clean(text: str, *, lines: bool = False, escape: Callable[[str], str] = _in_python) -> str:
    """Return text from others with its control characters shown instead of obeyed.

    lines: whether the text may have several lines.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        letter
        if letter in kept or unicodedata.category(letter) not in ("Cc", "Cf", "Zl", "Zp")
        else escape(letter)
        for letter in text
    )


def json_text(data: Any, indent: int | None = None) -> str:
    """Data as JSON, with control characters escaped as JSON does it."""
    return clean(json.dumps(data, indent=indent, ensure_ascii=False), lines=True, escape=_in_json)


def paragraph(text: str) -> str:
    """Return text from others as a paragraph: each line after the first is indented.

    The text may have several lines. So none of them looks like a line of Headrace's own.
    """
    return clean(text.rstrip().replace("\r\n", "\n"), lines=True).replace("\n", "\n    ")
