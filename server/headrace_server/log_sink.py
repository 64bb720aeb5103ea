"""Write log lines to standard error so that nothing waits for its reader.

    loop and threads ──put──> lines, at most ROOM bytes ──a thread──> standard error, which may be full for ever
                                 └─ no room: dropped, and counted

A pipe that nobody reads takes 64 KiB and then holds whoever writes. That is the thread here, and
never the event loop. When lines go out again, one says how many were dropped. The descriptor stays
as it was inherited: to make it non-blocking would make it so for every process that shares it.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

ROOM: Final = 4 << 20
"""Bytes of lines that wait: some seconds of a busy server's debug log."""

_BATCH: Final = 64 * 1024


class LogSink:
    """A writer to a descriptor, which stays open.

    `tell` is asked for the line that says how many were dropped.
    """

    def __init__(self, fd: int, *, room: int = ROOM) -> None:
        self.tell: Callable[[int], str] = lambda count: f"{count} lines of the log were dropped"
        self.dropped = 0
        """Lines that had no room, or that could not be written."""
        self._fd = fd
        self._room = room
        self._lines: list[bytes] = []
        self._size = 0
        self._told = 0
        self._closing = False
        self._changed = threading.Condition()  # re-entrant: a finalizer may log while this is held
        self._idle = True
        self._thread = threading.Thread(target=self._run, name="headrace-log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written, without waiting for it. It brings no newline."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._size + len(data) > self._room:
                self.dropped += 1
                return
            self._size += len(data)
            self._lines.append(data)
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Write what waits, for at most so many seconds; what is put later is dropped."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while (self._lines or not self._idle) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            self._room = 0

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._write(b"".join(batch))
                self._tell()
            except OSError:  # nobody can read it any more, or the disk is full
                with self._changed:
                    self.dropped += len(batch)

    def _next(self) -> list[bytes]:
        with self._changed:
            self._idle = True
            self._changed.notify_all()
            while not self._lines:
                if self._closing:
                    return []
                self._changed.wait()
            self._idle = False
            count = size = 0
            while count < len(self._lines) and size < _BATCH:
                size += len(self._lines[count])
                count += 1
            batch, self._lines = self._lines[:count], self._lines[count:]
            self._size -= size
            return batch

    def _tell(self) -> None:
        """Write how many lines were dropped while the last ones were written.

        That line waits in no queue, where it would have no room either.
        """
        dropped = self.dropped
        if dropped > self._told:
            self._write(self.tell(dropped - self._told).encode() + b"\n")
            self._told = dropped

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody who shares it has made it so
                select.select((), (self._fd,), ())
