"""Keeps the standard streams of a server open, never waited for, and free of raw peer text.

    log, print, warnings ─────────────────────> LogSink ──> the standard error that was inherited
    C code ──> descriptor 2, a pipe ──a thread──> log ┘                         ▲
    faulthandler ───────────────────────────────────────────────────────────────┘  a crash can be told by nobody else

A descriptor below 3 that is closed at the start would be given to the first file that is opened,
the database say, and whatever is printed would be written into it. So those that are closed are
opened first, on nothing.

C code (gRPC's above all) writes what it likes to descriptor 2, raw text of peers among it. So that
is a pipe, whose lines become records of the log. Its writing end does not block: C code that held
the interpreter while the pipe is full would wait for a thread that waits for the interpreter.
"""

import contextlib
import faulthandler
import fcntl
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator

from headrace_server.log_sink import LogSink
from headrace_server.printable import printable

log = logging.getLogger("headrace_server.stderr")

CLOSE_MAX = 2.0
"""Seconds for what is not written when the server ends."""
_PIPE_BYTES = 1 << 20
_LINE_MAX = 16 * 1024

_sink: LogSink | None = None
_inherited: int | None = None


def dropped_lines() -> int:
    """How many lines of the log were dropped because nobody read them."""
    return 0 if _sink is None else _sink.dropped


def inherited() -> int:
    """The descriptor of the standard error that this process was started with."""
    return 2 if _inherited is None else _inherited


def open_missing() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed. Before anything else is opened."""
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:  # noqa: PLR2004 - standard error
        pass
    os.close(fd)
    for standard in range(3):  # what is started from here is to find them open too
        os.set_inheritable(standard, True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


@contextlib.contextmanager
def taken() -> Iterator[LogSink]:
    """Direct standard error to the sink within this block, and yield the sink.

    That covers sys.stderr, descriptor 2, and what the log is to be written to.
    """
    global _sink, _inherited  # noqa: PLW0603 - a process has one standard error
    before = sys.stderr
    before.flush()
    _inherited = os.dup(2)
    _sink = LogSink(_inherited)
    faulthandler.enable(_inherited)
    reader = _redirect()
    sys.stderr = _Stream(_sink)
    try:
        yield _sink
    finally:
        sys.stderr = before
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - what C code prints now is not to come out raw
            os.dup2(nothing.fileno(), 2)
        reader.join(CLOSE_MAX)
        _sink.close(CLOSE_MAX)
        os.dup2(_inherited, 2)
        faulthandler.enable(2)


def _redirect() -> threading.Thread:
    """Put a pipe in the place of descriptor 2, and start who reads it."""
    ours, theirs = os.pipe()
    with contextlib.suppress(OSError):  # a user may have had his share of pipes
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(theirs, False)
    os.dup2(theirs, 2)
    os.close(theirs)
    reader = threading.Thread(target=_read, args=(ours,), name="headrace-stderr", daemon=True)
    reader.start()
    return reader


def _read(pipe: int) -> None:
    with os.fdopen(pipe, "rb") as lines:
        while line := lines.readline(_LINE_MAX):
            if text := line.decode("utf-8", "backslashreplace").rstrip("\r\n"):
                log.warning("%s", text)


class _Stream(io.TextIOBase):
    """sys.stderr: each line goes to the sink, escaped."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink
        self._begun = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Descriptor 2, for who asks whether it is a terminal."""
        return 2

    def write(self, text: str) -> int:
        """Put the lines that are complete; the last one waits for its end."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._sink.put(printable(line))
        return len(text)

    def flush(self) -> None:
        """Nothing waits here but a line without its end."""
