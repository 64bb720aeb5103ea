"""What a run that shares its process prints, sent as frames that name it.

    print ─> sys.stdout ─> the run of the context ─> held up to 50 ms, or 8 KiB ─> socket

No more is sent than the server keeps; the lines beyond are counted.
"""

import threading
from collections.abc import Callable

from headrace_server.work.ipc.frames import encode

_TOGETHER = 8 * 1024
"""Characters that are sent at once."""


class RunText:
    """The printed text of one run. Any thread of the run may print.

    send takes a frame; later is given what is to be called soon. before is called before text is
    taken: what the run said in another way was said earlier.
    """

    partial = False
    written = (0, 0)
    """Nothing of it goes through the pipes of the worker."""

    def __init__(
        self,
        ticket: int,
        most: int,
        send: Callable[[bytes], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self.before: Callable[[], None] = lambda: None
        self._ticket = ticket
        self._room = most + 1  # with one more than it keeps, the server says that it was cut
        self._send = send
        self._later = later
        self._held: list[str] = []
        self._size = 0
        self._source = 0
        self._lost = 0
        self._waits = self._direct = False
        self._lock = threading.RLock()

    def write(self, source: int, text: str) -> None:
        """Take text for one of the two streams."""
        with self._lock:
            if source != self._source:
                self.flush()
                self._source = source
            self.before()
            kept = text[: self._room]
            self._room -= len(kept)
            self._lost += text.count("\n", len(kept))
            if kept:
                self._held.append(kept)
                self._size += len(kept)
            if self._direct or self._size >= _TOGETHER:
                self.flush()
            elif self._held and not self._waits:
                self._waits = True
                self._later(self.flush)

    def flush(self) -> None:
        """Send what is held."""
        with self._lock:
            self._waits = False
            held, self._held, self._size = self._held, [], 0
            if held:
                self._send(encode(("output", self._source, self._ticket), "".join(held)))

    def wait_until_read(self, most: float | None = None) -> None:
        """Do nothing: text and messages go one way, in their order."""

    def forked(self) -> None:
        """Begin anew in a process that the run has forked: nothing there flushes later."""
        self._lock = threading.RLock()
        self._held, self._size, self._direct = [], 0, True

    def close(self) -> None:
        """The run has ended."""
        self.flush()
        if self._lost:
            self._send(encode(("messages", [], self._lost, False, self.written, self._ticket)))
