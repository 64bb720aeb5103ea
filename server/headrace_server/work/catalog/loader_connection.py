"""The server's side of one loader: a socket for frames, and the pipe of what it writes."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from headrace_server.work.ipc import channel
from headrace_server.work.ipc.frames import clean

_FRAMES_PER_WAKE: Final = 64
_OUTPUT_KEPT: Final = 4096
"""Bytes: what it wrote last may say why it ended."""


class LoaderConnection:
    """The descriptors that the server shares with one loader.

    Raises OSError when there are too many; close() closes all.
    """

    def __init__(self, on_frame: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._ours, self._theirs = channel.pair()
        try:
            self._output, self._output_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            self._ours.close()
            self._theirs.close()
            raise
        os.set_blocking(self._output_end, True)
        self._ours.setblocking(False)
        self._receiver = channel.Receiver(self._ours)
        self._waiting: deque[bytes] = deque()
        self._written = b""
        self._open = True
        self._loop.add_reader(self._ours, self._read)
        self._loop.add_reader(self._output, self._read_output)

    @property
    def child_fds(self) -> Sequence[int]:
        """The descriptors that the loader is given: its ends of the socket and the output pipe."""
        return (self._theirs.fileno(), self._output_end)

    def close_child_side(self) -> None:
        """The loader has its own now."""
        self._theirs.close()
        os.close(self._output_end)

    @property
    def last_words(self) -> str:
        """The last line that the loader wrote, or the line of Python's fatal error.

        It is "" when the loader wrote nothing.
        """
        lines = clean(self._written.decode("utf-8", "replace")).rstrip().split("\n")
        return next((line for line in lines if line.startswith("Fatal Python error")), lines[-1])

    def post(self, frame: bytes) -> None:
        """Send a frame, now or when there is room."""
        if not self._open:
            return
        if not self._waiting:
            try:
                channel.send(self._ours, frame)
            except BlockingIOError:
                self._loop.add_writer(self._ours, self._send_waiting)
            except OSError:
                return  # it has ended: that is told by its supervisor
            else:
                return
        self._waiting.append(frame)

    def close(self) -> None:
        """Read what it said last, then give every descriptor back."""
        if not self._open:
            return
        while self._read():
            pass
        for _ in range(_FRAMES_PER_WAKE):
            self._read_output()
        self._open = False
        self._unwatch()
        self._loop.remove_writer(self._ours)
        self._loop.remove_reader(self._output)
        self._ours.close()
        os.close(self._output)

    def _frames(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            for _ in range(_FRAMES_PER_WAKE):
                frame = self._receiver.frame()
                if not frame:
                    self._unwatch()
                    return
                yield frame

    def _read(self) -> bool:
        """Take some frames; True when there may be more."""
        count = 0
        for frame in self._frames():
            count += 1
            self._on_frame(frame)
        return count == _FRAMES_PER_WAKE

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._ours)

    def _read_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._output, 1 << 16)
            self._written = (self._written + data)[-_OUTPUT_KEPT:]
            if not data:
                self._loop.remove_reader(self._output)

    def _send_waiting(self) -> None:
        try:
            while self._waiting:
                channel.send(self._ours, self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._waiting.clear()
        self._loop.remove_writer(self._ours)
