"""What a job writes to its standard output and error, as messages of the run that wrote it.

Capture is at descriptor level, so that print, os.write, printf in C and every subprocess are caught alike, and
it is read by the server: a reader in the child would need the GIL, and a job that holds the GIL while it fills
the pipe would wait for itself.

    child: fd 1 ──pipe──┐
    child: fd 2 ──pipe──┴─> server: Capture.take ──> lines ──> listener.logged

Output belongs to the run that wrote it. The child sees to that: it reports an end only when both pipes are
empty (`surroundings`). While there is something in a pipe, then, the child can be in one run only, and that run's
"begun" is in the socket already. So the reader of a pipe first takes all frames from the socket, then reads
the pipe once: what it gets belongs to the run that has begun and not ended (`slot`).

A line is a message; one over 4 KiB becomes several. A run has a budget of bytes and of messages for both streams
together: beyond it, output is read at a slow pace (`slot`), thrown away, and its lines are counted.
"""

from dataclasses import dataclass

from headrace_server.domain.change import Message
from headrace_server.work.frames import (
    LEVEL_INFO,
    LEVEL_WARNING,
    MESSAGE_MAX,
    SOURCE_STDERR,
    SOURCE_STDOUT,
    clean,
)

_LEVELS = {SOURCE_STDOUT: LEVEL_INFO, SOURCE_STDERR: LEVEL_WARNING}


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """What is kept of the output of one run."""

    size: int = 1 << 20
    """Bytes."""
    messages: int = 10_000


class Capture:
    """The output of one child, run by run."""

    def __init__(self, limits: OutputLimits) -> None:
        self._limits = limits
        self._room = 0
        self._messages = 0
        self.full = False
        """Whether the run has written more than is kept."""
        self._partial: dict[int, bytes] = {}

    def begin(self) -> None:
        """A run begins: a whole budget, no line begun."""
        self._room = self._limits.size
        self._messages = self._limits.messages
        self.full = False
        self._partial.clear()

    def take(self, source: int, data: bytes) -> tuple[list[Message], int]:
        """The messages that data completes, and the number of lines thrown away."""
        if self.full:
            return [], data.count(b"\n")
        kept, lost = data[: self._room], data[self._room :]
        # No more lines are made than may be kept: a pipe full of line feeds would make tens of thousands.
        *lines, rest = (self._partial.get(source, b"") + kept).split(b"\n", self._messages)
        pieces = [piece for line in lines for piece in _pieces(line)]
        self._room -= len(kept)
        self._messages -= len(pieces)
        if lost or self._messages <= 0:
            self.full = True
            self._partial[source] = rest if lost and self._messages > 0 else b""
            dropped = lost.count(b"\n") + (0 if self._partial[source] else rest.count(b"\n"))
            return [*(_message(source, piece) for piece in pieces), *self.end(), self._mark(source)], dropped
        *full, self._partial[source] = _pieces(rest)
        return [_message(source, piece) for piece in pieces + full], 0

    def end(self) -> list[Message]:
        """The run has ended: the lines that it had begun."""
        messages = [
            _message(source, piece)
            for source, line in self._partial.items()
            if line
            for piece in _pieces(line)
        ]
        self._partial.clear()
        return messages

    def _mark(self, source: int) -> Message:
        text = (
            f"The output was cut here: {self._limits.size} bytes of a run are kept, "
            f"in {self._limits.messages} messages."
        )
        return Message(LEVEL_WARNING, source, text)


def _pieces(line: bytes) -> list[bytes]:
    """A line as pieces of the size of a message, cut between characters; one empty piece for an empty line."""
    pieces = []
    while len(line) > MESSAGE_MAX:
        cut = MESSAGE_MAX
        while cut > MESSAGE_MAX - 3 and line[cut] & 0xC0 == 0x80:  # noqa: PLR2004 - UTF-8 continuation bytes
            cut -= 1
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]


def _message(source: int, line: bytes) -> Message:
    # A byte that is no UTF-8 becomes a mark of three: the text can be longer than the line.
    return Message(_LEVELS[source], source, clean(line.rstrip(b"\r").decode("utf-8", "replace"), MESSAGE_MAX))
