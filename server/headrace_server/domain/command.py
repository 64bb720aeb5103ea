"""Commands that come by message: what becomes of each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What to do with the message that carried a command."""

    DONE = auto()
    """It was carried out, or refused for good: the answer says which."""
    INVALID = auto()
    """It is no command: it goes where the broker puts what cannot be used."""
    RETRY = auto()
    """It cannot be carried out now: it stays in the queue."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a command.

    `kind` and `body` are the JSON answer for a sender that asked for one. `reason` says why the
    command was not carried out, and is empty when it was.
    """

    verdict: Verdict
    kind: str
    body: bytes
    reason: str = ""


Handler = Callable[[str, str, bytes], Awaitable[Answer]]
"""A function from a command's kind, content type and body to the outcome of the command.

It is called on the event loop's thread.
"""
