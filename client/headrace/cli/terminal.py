"""What goes to the terminal: where it is one, how wide, in which colours, and free of control characters.

Colours follow NO_COLOR and the kind of terminal, by rich. Text that others wrote is never taken as markup, and never
reaches the terminal with an escape sequence in it.
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
    """Where data goes."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


@cache
def stderr() -> Console:
    """Where everything else goes."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def follows_live() -> bool:
    """Whether stderr is a terminal on which a line can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def write(text: str | Text = "") -> None:
    """A line of data. In a pipe it is what was said, to the letter; a terminal gets nothing that it would obey."""
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
    """Text of others with control characters shown instead of obeyed; with lines, it may have several."""
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
    """Text of others that may have several lines: each after the first is set in, so that none looks like one of ours."""
    return clean(text.rstrip().replace("\r\n", "\n"), lines=True).replace("\n", "\n    ")
