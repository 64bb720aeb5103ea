"""The server's side of one child: a socket for frames, the stop page, and two pipes of output.

    server                                   child
    ours ◄────── SOCK_SEQPACKET ──────► theirs        frames, both ways
    theirs (a duplicate, for recall)
    page ◄──────── memfd, mmap ───────► page          the stop flag
    out, err ◄───────── pipes ───────── fd 1, fd 2    output

**Recall.** The server keeps a duplicate of the child's end. What it reads there with MSG_DONTWAIT
are the frames that the child has not taken: the kernel gives each to one reader, so no message can
cross another, and a child that is stuck in C code need not answer. The price is that the server
never sees an end of file when the child dies: its own duplicate holds the end open. It is told by
the supervisor, and then reads what is left.

**Back-pressure.** A line can be paused: then nothing is read of what the child says and writes, and
a child that goes on meets a full socket, or a full pipe, and waits there. The stop page and signals
reach it all the same.

**No waiting.** A frame that finds no room in the socket waits in `waiting`, and goes when there is
some; it is part of what a recall takes back.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from headrace_server.work.ipc import channel
from headrace_server.work.ipc.stop_page import StopPage

_OUTPUT_CHUNK = 64 * 1024


class ChildConnection:
    """The descriptors that the server shares with one child.

    Raises OSError when there are too many; close() closes all.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:  # any of these may find that there are too many descriptors
            self._ours, self._theirs = channel.pair()
            undo.callback(self._ours.close)
            undo.callback(self._theirs.close)
            self._memory = StopPage.create()
            undo.callback(os.close, self._memory)
            self.page = StopPage(self._memory)
            self.out, self._out_end = _pipe(undo)
            self.err, self._err_end = _pipe(undo)
            undo.pop_all()
        self._ours.setblocking(False)
        self._receiver = channel.Receiver(self._ours)
        self._recaller = channel.Receiver(self._theirs)
        self._waiting: deque[bytes] = deque()
        self._listeners: dict[int, Callable[[], object]] = {}
        self._paused = False

    @property
    def child_fds(self) -> Sequence[int]:
        """The descriptors that the child is given.

        They are its end of the socket, the page, and the writing ends of the pipes.
        """
        return (self._theirs.fileno(), self._memory, self._out_end, self._err_end)

    def close_child_side(self) -> None:
        """The child has its own now. The duplicate for recall stays."""
        for fd in (self._memory, self._out_end, self._err_end):
            os.close(fd)

    def watch(self, on_frames: Callable[[], object], on_output: Callable[[int], None]) -> None:
        """Call on_frames when there are some, on_output with the pipe that has something."""
        self._listeners = {
            self._ours.fileno(): on_frames,
            self.out: partial(on_output, self.out),
            self.err: partial(on_output, self.err),
        }
        self.resume()

    def pause(self) -> None:
        """Read nothing until resume()."""
        self._paused = True
        for fd in self._listeners:
            self._loop.remove_reader(fd)

    def resume(self) -> None:
        """Read again what there is."""
        self._paused = False
        for fd in self._listeners:
            self._listen(fd)

    def rest(self, pipe: int, seconds: float) -> None:
        """Leave a pipe alone for a moment: who writes to it is too fast."""
        self._loop.remove_reader(pipe)
        self._loop.call_later(seconds, self._listen, pipe)

    def _listen(self, fd: int) -> None:
        if fd in self._listeners and not self._paused:
            self._loop.add_reader(fd, self._listeners[fd])

    def post(self, frame: bytes) -> None:
        """Send a frame to the child, now or when there is room."""
        if not self._waiting:
            try:
                channel.send(self._ours, frame)
            except BlockingIOError:
                self._loop.add_writer(self._ours, self._send_waiting)
            else:
                return
        self._waiting.append(frame)

    def frames(self, limit: int) -> Iterator[bytes]:
        """Frames that the child has sent, at most limit."""
        for _ in range(limit):
            try:
                yield self._receiver.frame()
            except BlockingIOError:
                return

    def recall(self) -> list[bytes]:
        """Every frame that the child has not taken, in the order in which they were posted."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(self._recaller.frame(socket.MSG_DONTWAIT))
        frames += self._waiting
        if self._waiting:
            self._waiting.clear()
            self._loop.remove_writer(self._ours)
        return frames

    def output(self, pipe: int) -> bytes | None:
        """Return what one reading of a pipe gives.

        Returns None when there is nothing, and b"" when no process can write to it any more.
        """
        try:
            return os.read(pipe, _OUTPUT_CHUNK)
        except BlockingIOError:
            return None

    def unwatch(self, pipe: int) -> None:
        """Watch a pipe no longer: its writers have closed it."""
        self._listeners.pop(pipe, None)
        self._loop.remove_reader(pipe)

    def close(self) -> None:
        """Give every descriptor back."""
        self.pause()
        self._listeners.clear()
        self._loop.remove_writer(self._ours)
        self._ours.close()
        self._theirs.close()
        self.page.close()
        for pipe in (self.out, self.err):
            os.close(pipe)

    def _send_waiting(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                channel.send(self._ours, self._waiting[0])
                self._waiting.popleft()
            self._loop.remove_writer(self._ours)


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose reading end never waits, closed by undo."""
    ends = os.pipe2(os.O_CLOEXEC)
    for end in ends:
        undo.callback(os.close, end)
    os.set_blocking(ends[0], False)
    return ends
