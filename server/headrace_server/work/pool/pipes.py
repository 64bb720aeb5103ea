"""Deliver a child's output and messages in the order in which its code said them.

They come by different ways.

    child: print ──> pipe ─────┐
           message ─> socket ──┴─> here ─> the order of the child

A frame with messages says how many bytes Python code had written by then, to each pipe, since the
run began. What was written before is in the pipe when the frame is read, so it is read first; what
was read already and was written behind is held back until the frame is taken. Bytes of other
processes are not in these numbers: with them the order is near, as the child waits a moment for its
pipes to be read (`streams`).
"""

from collections.abc import Callable, Sequence

from headrace_server.work.pool.child_connection import ChildConnection


class Pipes:
    """The two pipes of one child. deliver is given each piece, once."""

    def __init__(self, line: ChildConnection, deliver: Callable[[int, bytes], None]) -> None:
        self._line = line
        self._deliver = deliver
        self._pipes = (line.out, line.err)
        self._held = dict.fromkeys(self._pipes, b"")
        self._heard = dict.fromkeys(self._pipes, 0)

    def begin(self) -> None:
        """A run begins: nothing of it is read."""
        self._heard = dict.fromkeys(self._pipes, 0)

    def hold(self, pipe: int) -> int | None:
        """Read a pipe once, keep what it gave, and return how many bytes that was.

        Returns 0 at its end, and None when there are none.
        """
        data = self._line.output(pipe)
        if data:
            self._held[pipe] += data
        return None if data is None else len(data)

    def until(self, written: Sequence[int]) -> None:
        """Deliver what was written up to these numbers."""
        for pipe, count in zip(self._pipes, written, strict=False):
            while count > self._heard[pipe] and (self._held[pipe] or self.hold(pipe)):
                self._hear(pipe, count - self._heard[pipe])

    def all(self) -> None:
        """Deliver what is held."""
        for pipe, data in self._held.items():
            if data:
                self._hear(pipe, len(data))

    def _hear(self, pipe: int, count: int) -> None:
        data = self._held[pipe]
        part, self._held[pipe] = data[:count], data[count:]
        self._heard[pipe] += len(part)
        self._deliver(pipe, part)
