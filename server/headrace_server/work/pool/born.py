"""A child that has no slot: not yet, or no more."""

import time
from dataclasses import dataclass, field
from typing import Any

from headrace_server.work.ipc import frames
from headrace_server.work.pool.child_connection import ChildConnection
from headrace_server.work.pool.supervisor_client import SupervisorClient

_FRAMES_PER_WAKE = 64


@dataclass(slots=True)
class Born:
    """A child without a slot.

    `said`: the frames that it has sent, in order. `written`: what it has written last.

    at: when it was started, by time.monotonic.
    """

    life: int
    line: ChildConnection
    said: list[tuple[list[Any], str]] = field(default_factory=list)
    written: bytes = b""
    at: float = field(default_factory=time.monotonic)

    @property
    def loaded(self) -> bool:
        """Whether the child has said that it has loaded its modules."""
        return any(header[0] == "ready" for header, _ in self.said)

    def read(self) -> bool:
        """Take what it says; True when that was all."""
        before = len(self.said)
        self.said += [frames.decode(frame) for frame in self.line.frames(_FRAMES_PER_WAKE)]
        return len(self.said) - before < _FRAMES_PER_WAKE

    def read_output(self, pipe: int) -> None:
        """Take what it writes."""
        data = self.line.output(pipe)
        if data:
            self.written = (self.written + data)[-frames.MESSAGE_MAX :]
        elif data is not None:
            self.line.unwatch(pipe)


def born(supervision: SupervisorClient) -> Born:
    """Have a child started. Raises OSError when there are too many descriptors."""
    line = ChildConnection()
    child = Born(supervision.spawn(line.child_fds), line)
    line.close_child_side()
    line.watch(child.read, child.read_output)
    return child
