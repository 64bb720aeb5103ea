"""Run the supervisor, between server and children: no code of jobs and no threads are in it.

Its children are those of one program: workers (`child`), or the loader of job modules (`loader`),
which has a supervisor of its own.

    server ══ control socket ══ supervisor ──fork──> child, child, child …
                                    │
                                    └─ holds the lock on the store until nothing runs below it

It is there for the day on which the server dies. Whatever is below it is then killed, to the last
leaf, and only after that does the lock on the store go, with this process: a server that is started
again cannot claim a job while an old run of it is alive. It takes the server for dead when the
control socket closes (SIGKILL, a crash), or when nothing was heard for 8 s (SIGSTOP, a machine that
is starved): the server pings all the time. And with each ping it hears when its children have to be
dead, because others will take over what they do: the fence (domain.lease).

And it is there for the end of each child. As the parent of all children it signals them without
fear that a pid has been used again, and as a subreaper it inherits what a dead child leaves behind:
every process below it that is below no living child. It kills those and reports the end of the
child only when none of them is left.

    server says   ["spawn", life, more] with the descriptors;   ["signal", life, number];   ["ping", fence]
    it answers    ["started", life, pid];   ["exited", life, status, note];   ["lingering", pids];   ["pong"]

A life is the server's number for one child; more are settings of that one beside those of all.
status is a wait status; None with a note where it could not start. It ignores SIGINT, SIGTERM and
SIGHUP: it is the server that decides.
"""

import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from headrace._loading import uncollected
from headrace_server.work.ipc.channel import Receiver, send
from headrace_server.work.ipc.frames import decode, encode
from headrace_server.work.linux import process_tree

_SWEEP_PAUSE = 0.002

LINGER = 10.0
"""Seconds after which it is told which processes do not end though they were killed."""


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """The settings of the supervisor, as its command line has them.

    `silence`: seconds; `mark`: see process_tree.

    program: the module whose main() a child is, with these settings.
    """

    control: int
    mark: int
    silence: float
    program: str
    child: dict[str, Any]


Program = Callable[[Mapping[str, Any], int, Sequence[int]], NoReturn]
"""The code of a child.

It is called with its settings, the process id of the supervisor, and its descriptors.
"""


class Supervisor:
    """The loop: commands, ends of children, sweeps, silence."""

    def __init__(
        self, control: socket.socket, silence: float, program: Program, settings: Mapping[str, Any]
    ) -> None:
        self._control = control
        self._receiver = Receiver(control)
        self._silence = silence
        self._program = program
        self._settings = settings
        self._pid = os.getpid()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._lives: dict[int, int] = {}
        self._children: dict[int, tuple[int, int]] = {}
        self._swept_for: list[tuple[int, int]] = []
        self._grace: process_tree.TrackerGrace | None = None
        """Until when resource trackers are left to end by themselves."""
        self._tell_at = 0.0
        """When it is told what a child has left that does not end."""
        self._alone = False
        self._fence: float | None = None
        """The fence, by CLOCK_BOOTTIME.

        A fence that has passed when it arrives is that of runs which have ended.
        """
        # A server that reads nothing for so long is as good as silent.
        timeout = struct.pack("ll", int(silence), int(silence % 1 * 1_000_000))
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)

    def serve(self) -> None:
        """Serve until the server is gone; return with nothing below this process."""
        heard = time.monotonic()
        while not self._alone:
            left = heard + self._silence - time.monotonic()
            if self._fence is not None:
                left = min(left, self._fence - _now())
            wait = min(_SWEEP_PAUSE, left) if self._swept_for else left
            ready = dict(self._poll.poll(max(0.0, wait) * 1000))
            if ready.pop(self._control.fileno(), 0):
                self._listen()
                heard = time.monotonic()
            elif left <= 0:
                break
            if ready or self._swept_for:
                self._reap()
        process_tree.sweep(time.sleep)

    def _listen(self) -> None:
        """Carry out what the server says."""
        while not self._alone:
            try:
                frame, fds = self._receiver.message(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                frame = b""
            if not frame:
                self._alone = True
                return
            match decode(frame)[0]:
                case ["spawn", life, more]:
                    self._spawn(life, more, fds)
                case ["signal", life, number] if life in self._lives:
                    os.kill(self._lives[life], number)
                case ["ping", fence]:
                    self._fence = fence if fence is None or fence > _now() else self._fence
                    self._say("pong")

    def _spawn(self, life: int, more: Mapping[str, Any], fds: Sequence[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._say("exited", life, None, f"could not be forked: {error.strerror}")
        else:
            if pid == 0:
                self._be_child(more, fds)
            pidfd = os.pidfd_open(pid)
            self._poll.register(pidfd, select.POLLIN)
            self._lives[life] = pid
            self._children[pid] = (life, pidfd)
            self._say("started", life, pid)
        for fd in fds:
            os.close(fd)

    def _be_child(self, more: Mapping[str, Any], fds: Sequence[int]) -> None:
        try:
            self._program({**self._settings, **more}, self._pid, fds)
        except BaseException:  # noqa: BLE001 - nothing may come back into the supervisor's loop
            traceback.print_exc()
        finally:
            os._exit(1)

    def _reap(self) -> None:
        for pid, status in process_tree.reap_all().items():
            if pid in self._children:
                life, pidfd = self._children.pop(pid)
                del self._lives[life]
                self._poll.unregister(pidfd)
                os.close(pidfd)
                self._swept_for.append((life, status))
                self._grace = process_tree.TrackerGrace()
                self._tell_at = time.monotonic() + LINGER
        if self._swept_for and self._kill_orphans() == 0:
            for life, status in self._swept_for:
                self._say("exited", life, status, "")
            self._swept_for.clear()
        elif self._swept_for and time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + LINGER
            left = process_tree.descendants(self._pid, spare=self._children)
            self._say("lingering", [process.pid for process in left])

    def _kill_orphans(self) -> int:
        return process_tree.kill_below(self._pid, spare=self._children, grace=self._grace)

    def _say(self, *header: Any) -> None:
        try:
            send(self._control, encode(header))
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):  # the last: no room for too long
            self._alone = True


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main() -> None:
    """The program: `python -m headrace_server.work.supervisor <settings>`, started by the pool."""
    settings = SupervisorSettings(**json.loads(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process_tree.become_subreaper()
    process_tree.wear_mark(settings.mark)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control = socket.socket(fileno=settings.control)
    os.set_inheritable(settings.control, False)
    with uncollected():  # before any fork, so that none waits for it
        program: Program = importlib.import_module(settings.program).main
    Supervisor(control, settings.silence, program, settings.child).serve()


if __name__ == "__main__":
    main()
