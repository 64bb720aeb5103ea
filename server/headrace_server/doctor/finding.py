"""Define the result of a look at one thing."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is. Only a problem keeps a server from doing its work."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One line: what was looked at, and a sentence with the cause and the way out."""

    subject: str
    level: Level
    text: str


def ok(subject: str, text: str) -> Finding:
    """Nothing is wrong."""
    return Finding(subject, Level.OK, text)


def warning(subject: str, text: str) -> Finding:
    """A server works, but not as well, or not for long."""
    return Finding(subject, Level.WARNING, text)


def problem(subject: str, text: str) -> Finding:
    """A server would not start, or would not run jobs."""
    return Finding(subject, Level.PROBLEM, text)
