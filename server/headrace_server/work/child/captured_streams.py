"""sys.stdout and sys.stderr of a worker: text for the two pipes that the server reads.

    print ─> text ─> line buffer ─> raw ──before_write──> fd 1 ──pipe──> server
                         └─ without a line feed: written after a quarter of a second

Whatever a job did to them (closed, detached, deleted, replaced, another encoding), the next one
finds them as they were, and what is left in their buffers is written for the run that said it.
Threads that speak for no run are left out (`speakers`). Code of a job's own stream can raise
anything: it ends no worker.
"""

import contextlib
import fcntl
import io
import os
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

from headrace_server.work.child.speakers import Speakers

_NOTHING = b"\0\0\0\0"
_ENCODING, _ERRORS = "utf-8", "backslashreplace"
READ_SECONDS = 0.005
"""Seconds that the server has to read what was written, before a message goes another way."""


class _Raw(io.FileIO):
    """The descriptor of one stream.

    `before_write` is called before each write; what is written is counted in `written`.
    """

    def __init__(self, number: int, before_write: Callable[[], None], written: list[int]) -> None:
        # closefd: sys.stdout.close() in a job is not to close the descriptor.
        super().__init__(number, "wb", closefd=False)
        self._before_write = before_write
        self._written = written
        self._index = number - 1

    def write(self, data: "memoryview[int] | bytes") -> int:  # type: ignore[override] # any buffer
        self._before_write()
        count: int | None = super().write(data)
        if count is not None:  # there was no room, and the job has made its descriptor one that does not wait
            self._written[self._index] += count
        return count  # type: ignore[return-value] # as above


_write = io.TextIOWrapper.write


class _Buffer(io.BufferedWriter):
    """Bytes. on_held is called when some are held, and may be written soon."""

    def __init__(
        self,
        number: int,
        before_write: Callable[[], None],
        on_held: Callable[[], None],
        written: list[int],
        speakers: Speakers,
    ) -> None:
        raw: Any = _Raw(number, before_write, written)
        super().__init__(raw)
        self._on_held = on_held
        self._speakers = speakers
        self._number = number

    def write(self, data: Any) -> int:
        if self._speakers.shared is not None:
            self._speakers.say(self._number, bytes(data).decode(_ENCODING, _ERRORS))
            return memoryview(data).nbytes
        if not self._speakers.heard():
            self._speakers.left_out(bytes(data).decode(_ENCODING, _ERRORS))
            return memoryview(data).nbytes
        count = super().write(data)
        self._on_held()
        return count


class _Text(io.TextIOWrapper):
    """A text stream that is written by lines.

    `on_held` is called when some text may be waiting for the rest of its line.
    """

    def __init__(
        self,
        number: int,
        before_write: Callable[[], None],
        on_held: Callable[[], None],
        written: list[int],
        speakers: Speakers,
    ) -> None:
        buffer = _Buffer(number, before_write, on_held, written, speakers)
        super().__init__(buffer, _ENCODING, _ERRORS, line_buffering=True)
        vars(self)["mode"] = "w"
        self._last = "\n"
        self._on_held = on_held
        self._speakers = speakers
        self._number = number

    @property
    def partial(self) -> bool:
        """Whether the last line has no end yet."""
        return self._last != "\n"

    def write(self, text: str) -> int:
        if self._speakers.shared is not None:
            self._speakers.say(self._number, text)
            return len(text)
        if not self._speakers.heard():
            self._speakers.left_out(text)
            return len(text)
        count = _write(self, text)
        if text:
            self._last = text[-1:]
            self._on_held()
        return count

    def flush(self) -> None:
        if self._speakers.heard():  # what is held is not of the others
            super().flush()

    def straighten(self) -> bool:
        """Make it what it was; False where it is past that."""
        try:
            if not (self.encoding == _ENCODING and self.errors == _ERRORS and self.line_buffering):
                self.reconfigure(encoding=_ENCODING, errors=_ERRORS, line_buffering=True)
            self.flush()
        except Exception:  # noqa: BLE001 - detached, or its buffer is; closed
            return False
        self._last = "\n"
        return not self.closed


class Streams:
    """The two. outputs: the write ends of the pipes. before_write, on_held: see above, for both."""

    def __init__(
        self,
        outputs: tuple[int, int],
        before_write: Callable[[], None],
        on_held: Callable[[], None],
        speakers: Speakers,
    ) -> None:
        self.outputs = outputs
        self.written = [0, 0]
        """Bytes that Python code has written to each since the run began."""
        self._hooks = (before_write, on_held, self.written, speakers)
        self._own: list[_Text] = []
        self._flags = [fcntl.fcntl(output, fcntl.F_GETFL) for output in outputs]
        self.straighten()

    @property
    def partial(self) -> bool:
        """Whether a line that Python code began has no end yet."""
        return any(stream.partial for stream in self._own)

    def straighten(self) -> None:
        """Put back what a job may have bent.

        Raises OSError where a job has closed the pipes themselves.
        """
        for number, (output, flags) in enumerate(zip(self.outputs, self._flags, strict=True), start=1):
            os.dup2(output, number)
            if (
                fcntl.fcntl(output, fcntl.F_GETFL) != flags
            ):  # not waiting for room, above all: asyncio sets that
                fcntl.fcntl(output, fcntl.F_SETFL, flags)
        # What they still hold is written now: it could not be before.
        self._own = [
            stream if stream.straighten() else _Text(number, *self._hooks)
            for number, stream in enumerate(self._own, start=1)
        ] or [_Text(number, *self._hooks) for number in (1, 2)]
        sys.stdout, sys.stderr = self._own
        sys.__stdout__, sys.__stderr__ = self._own  # type: ignore[misc] # final, for others

    def begin(self) -> None:
        """A run begins."""
        self.written[:] = 0, 0

    def flush(self) -> None:
        """Write what is held.

        Errors of a stream that a job has broken are not raised: they do not concern the caller.
        """
        for stream in self._own:
            with contextlib.suppress(Exception):
                stream.flush()

    def finish(self) -> None:
        """The run has ended: write what is held, by whatever the job has put in their place too."""
        for name in ("stdout", "stderr"):
            with contextlib.suppress(BaseException):  # the job's own code, at the end of everything it does
                getattr(sys, name).flush()
        with contextlib.suppress(OSError):  # the pipes are closed: this worker is replaced
            self.straighten()

    def wait_until_read(self, most: float | None = None) -> None:
        """Wait until the server has read the pipes: seconds at most, or as long as it takes."""
        until = None if most is None else time.monotonic() + most
        wait = 0.0001
        while any(map(_unread, self.outputs)) and (until is None or time.monotonic() < until):
            time.sleep(wait)
            wait = min(wait * 2, 0.005)


def _unread(pipe: int) -> bool:
    """Return whether the other side still has something to read.

    FIONREAD answers at the writing end too. The result is False for a pipe that a job has closed.
    """
    try:
        return fcntl.ioctl(pipe, termios.FIONREAD, _NOTHING) != _NOTHING
    except OSError:
        return False
