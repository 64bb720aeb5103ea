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

A line is a message; one over 4 KiB becomes several. A run has a budget of bytes for both streams together:
beyond it, output is read (the job never blocks), thrown away, and its lines are counted.
"""

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


class Capture:
    """The output of one child, run by run. limit: bytes kept of each run."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = 0
        self._cut = False
        self._partial: dict[int, bytes] = {}

    def begin(self) -> None:
        """A run begins: a whole budget, no line begun."""
        self._room = self._limit
        self._cut = False
        self._partial.clear()

    def take(self, source: int, data: bytes) -> tuple[list[Message], int]:
        """The messages that data completes, and the number of lines thrown away."""
        kept, lost = data[: self._room], data[self._room :]
        self._room -= len(kept)
        *lines, rest = (self._partial.get(source, b"") + kept).split(b"\n")
        pieces = [piece for line in lines for piece in _pieces(line)]
        *full, partial = _pieces(rest)
        messages = [_message(source, piece) for piece in pieces + full]
        self._partial[source] = partial
        if lost and not self._cut:
            self._cut = True
            messages += self.end()
            messages.append(
                Message(
                    LEVEL_WARNING, source, f"The output was cut here: a run may write {self._limit} bytes."
                )
            )
        return messages, lost.count(b"\n")

    def end(self) -> list[Message]:
        """The run has ended: the lines that it had begun."""
        messages = [_message(source, line) for source, line in self._partial.items() if line]
        self._partial.clear()
        return messages


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
