"""Turn what a job writes to standard output and error into messages of the run that wrote it.

Capture is at descriptor level, so that print, os.write, printf in C and every subprocess are caught
alike, and it is read by the server: a reader in the child would need the GIL, and a job that holds
the GIL while it fills the pipe would wait for itself.

    child: fd 1 ──pipe──┐
    child: fd 2 ──pipe──┴─> server: Capture.take ──> lines ──> listener.logged

Output belongs to the run that wrote it. The child sees to that: it reports an end only when both
pipes are empty (`surroundings`). While there is something in a pipe, then, the child can be in one
run only, and that run's "begun" is in the socket already. So the reader of a pipe first takes all
frames from the socket, then reads the pipe once: what it gets belongs to the run that has begun and
not ended (`slot`).

A line is a message; one over 4 KiB becomes several. A line that has no end yet is shown after half
a second as far as it goes (`slot`), and its rest when that comes. Where carriage returns write over
a line again and again, as progress bars do, the last state counts, each time that the line is
shown: a bar gives a message twice a second at first, and with its length ever fewer. A run has a
budget of bytes and of messages for both streams together: beyond it, output is read at a slow pace
(`slot`), thrown away, and its lines are counted.
"""

from dataclasses import dataclass

from headrace_server.domain.change import Message
from headrace_server.work.ipc.frames import (
    LEVEL_INFO,
    LEVEL_WARNING,
    MESSAGE_MAX,
    SOURCE_STDERR,
    SOURCE_STDOUT,
    clean,
)

SHOW_FIRST, SHOW_LATER = 0.5, 0.005
"""Seconds until a line without an end is shown: at least, and per earlier time of the run.

The larger counts: SHOW_FIRST, or SHOW_LATER for each time that the run has had such lines shown.
"""

WRITTEN_OVER = 63 / 64
"""The share of an overwritten state that is given back to the budget.

It is not all, so that a flood of such states ends in the run's cut too.
"""

_LEVELS = {SOURCE_STDOUT: LEVEL_INFO, SOURCE_STDERR: LEVEL_WARNING}


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """The limits of what is kept of the output of one run."""

    size: int = 1 << 20
    """Bytes."""
    messages: int = 10_000


class Capture:
    """The output of one run."""

    def __init__(self, limits: OutputLimits) -> None:
        self._limits = limits
        self._room: float = limits.size
        self._messages = limits.messages
        self.full = False
        """Whether the run has written more than is kept."""
        self._partial: dict[int, bytes] = {}
        self._shown: dict[int, bytes] = {}
        """Of lines that were shown in part: what was shown last."""
        self._times_shown = 0

    @property
    def show_after(self) -> float | None:
        """In how many seconds lines without an end are to be shown; None when there are none."""
        if self.full or not any(map(_state, self._partial.values())):
            return None
        return max(SHOW_FIRST, self._times_shown * SHOW_LATER)

    def take(self, source: int, data: bytes) -> tuple[list[Message], int]:
        """The messages that data completes, and the number of lines thrown away."""
        if self.full:
            return [], data.count(b"\n")
        room = max(0, int(self._room))
        kept, lost = data[:room], data[room:]
        # No more lines are made than may be kept: a pipe full of line feeds would make tens of
        # thousands.
        *lines, rest = (self._partial.get(source, b"") + kept).split(b"\n", max(0, self._messages))
        pieces = [piece for line in lines for piece in self._complete(source, line)]
        self._room -= len(kept)
        self._messages -= len(pieces)
        if lost or self._messages <= 0:
            self.full = True
            self._partial[source] = rest if lost and self._messages > 0 else b""
            dropped = lost.count(b"\n") + (0 if self._partial[source] else rest.count(b"\n"))
            return [*(_message(source, piece) for piece in pieces), *self.end(), self._mark(source)], dropped
        *full, self._partial[source] = _pieces(self._written_over(rest))
        self._messages -= len(full)
        return [_message(source, piece) for piece in pieces + full], 0

    def show(self, *, bars: bool = True) -> list[Message]:
        """Return the lines without an end, as far as they go.

        `bars`: include those that are written over again and again.
        """
        messages: list[Message] = []
        for source, line in self._partial.items():
            if not bars and b"\r" in line:
                continue
            text, rest = _cut_character(line)
            if state := self._news(source, text):
                messages += [_message(source, piece) for piece in _pieces(state)]
                self._shown[source] = state
                self._partial[source] = rest
        self._messages -= len(messages)
        self._times_shown += bool(messages)
        return messages

    def end(self) -> list[Message]:
        """The run has ended: the lines that it had begun."""
        messages = [
            _message(source, piece)
            for source, line in self._partial.items()
            if line
            for piece in self._complete(source, line)
        ]
        self._partial.clear()
        return messages

    def _complete(self, source: int, line: bytes) -> list[bytes]:
        """The pieces of a line that has ended: none if all of it was shown."""
        was_shown = source in self._shown
        news = self._news(source, line)
        self._shown.pop(source, None)
        return [] if was_shown and not news else _pieces(news)

    def _news(self, source: int, line: bytes) -> bytes:
        """Return what is to be shown of a line, behind what was shown.

        That is nothing when the line was written over with the same.
        """
        state = _state(line)
        return b"" if b"\r" in line and self._shown.get(source) == state else state

    def _written_over(self, line: bytes) -> bytes:
        """The line without the states that are gone, which count little against the budget."""
        if b"\r" not in line:
            return line
        state = _state(line)
        start = (
            max(0, line.rfind(state) - 1) if state else line.rfind(b"\r")
        )  # with a carriage return in front
        self._room += start * WRITTEN_OVER
        return line[start:]

    def _mark(self, source: int) -> Message:
        text = (
            f"The output was cut here: {self._limits.size} bytes of a run are kept, "
            f"in {self._limits.messages} messages."
        )
        return Message(LEVEL_WARNING, source, text)


def _state(line: bytes) -> bytes:
    """The last of the states that carriage returns have made of a line."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _cut_character(line: bytes) -> tuple[bytes, bytes]:
    """A line, and what may be the beginning of a character at its end."""
    for back in range(1, min(4, len(line) + 1)):
        byte = line[-back]
        if byte & 0xC0 != 0x80:  # noqa: PLR2004 - no continuation byte of UTF-8
            missing = byte >= 0xC0 and back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)  # noqa: PLR2004
            return (line[:-back], line[-back:]) if missing else (line, b"")
    return line, b""


def _pieces(line: bytes) -> list[bytes]:
    """Split a line into pieces of the size of a message, cut between characters.

    An empty line gives one empty piece.
    """
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
    return Message(_LEVELS[source], source, clean(line.decode("utf-8", "replace"), MESSAGE_MAX))
