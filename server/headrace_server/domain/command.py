"""Commands that come by message: what becomes of each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What is done with the message of a command."""

    DONE = auto()
    """It was carried out, or refused for good: the answer says which."""
    INVALID = auto()
    """It is no command: it goes where the broker puts what cannot be used."""
    RETRY = auto()
    """It cannot be carried out now: it stays in the queue."""


@dataclass(frozen=True, slots=True)
class Answer:
    """kind and body: what is answered to whoever asked to be, as JSON. reason: why it was not carried out, "" when it was."""

    verdict: Verdict
    kind: str
    body: bytes
    reason: str = ""


Handler = Callable[[str, str, bytes], Awaitable[Answer]]
"""(the command's kind, its content type, its body) -> what became of it. Called on the event loop's thread."""
