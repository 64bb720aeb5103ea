"""What goes to the terminal: where it is one, how wide, in which colours, and free of control characters.

Colours follow NO_COLOR and the kind of terminal, by rich. Text that others wrote is never taken as markup, and never
reaches the terminal with an escape sequence in it.
"""

import os
import sys
import unicodedata
from functools import cache

from rich.console import Console
from rich.text import Text

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
    """A line of data."""
    if isinstance(text, str) or not sys.stdout.isatty():
        sys.stdout.write(f"{text}\n")
    else:
        stdout().print(text)


def note(text: str | Text) -> None:
    """A line beside the data."""
    stderr().print(text)


def status(word: str, width: int = 0) -> Text:
    """A status in its colour, padded."""
    return Text(word.ljust(width), _STYLES.get(word, ""))


def clean(text: str, *, lines: bool = False) -> str:
    """Text of others with control characters shown instead of obeyed; with lines, it may have several."""
    kept = "\n\t" if lines else ""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter in kept or unicodedata.category(letter) not in ("Cc", "Cf", "Zl", "Zp")
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
