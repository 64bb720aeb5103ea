"""Hold on to the pool's supervisor: start it, talk to it, notice its end, clear up after it.

    pool ── spawn, signal ──> control socket ──> supervisor
         <─ started, exited ─
    ping thread ── with the fence ──>    (a thread: a busy event loop is no reason to kill the jobs)
         <───────── pong ────────   8 s without a word from it: it is stuck, and is killed

When the supervisor dies its children die too (PR_SET_PDEATHSIG). What was below them comes to this
process, which is a subreaper and knows them by their mark. They are killed in rounds; only then is
the supervisor reported dead.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from headrace_server.work.ipc import channel
from headrace_server.work.ipc.frames import decode, encode
from headrace_server.work.linux import process_tree
from headrace_server.work.supervisor import LINGER, SupervisorSettings

log = logging.getLogger(__name__)

_SWEEP_PAUSE = 0.005
_FRAMES_PER_WAKE = 64
PINGS = 10
"""The pings in the time of silence.

They are so many that a fence which is put off, or is none any more, is known before it comes.
"""
_START_MAX = 30.0
"""Seconds that a supervisor may take until its first word."""


class SupervisorClient:
    """One supervisor after another: start() is called after each end.

    `program`, `settings`: see SupervisorSettings.

    on_exited(life, status, note) is called for each child that has ended; on_lost() when the
    supervisor, all children and everything below them are gone.
    """

    def __init__(
        self,
        program: str,
        settings: Mapping[str, Any],
        lock_fds: Sequence[int],
        silence: float,
        *,
        fence: Callable[[], float | None],
        on_exited: Callable[[int, int | None, str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._program = program
        self._settings = settings
        self._more: dict[str, object] = {}
        self._lock_fds = lock_fds
        self._silence = silence
        self._fence = fence
        self._on_exited = on_exited
        self._on_lost = on_lost
        self._mark = process_tree.new_mark()
        self._lives = itertools.count(1)
        self._link: _Link | None = None
        self._clearing: asyncio.Task[None] | None = None
        self.pids: dict[int, int] = {}
        """The process of each life."""

    @property
    def up(self) -> bool:
        """Whether there is a supervisor to talk to."""
        return self._link is not None

    @property
    def pid(self) -> int | None:
        """The process of the supervisor."""
        return None if self._link is None else self._link.process.pid

    def start(self) -> None:
        """Start a supervisor. Raises OSError when that is not possible."""
        process_tree.become_subreaper()
        settings = SupervisorSettings(0, self._mark, self._silence, self._program, dict(self._settings))
        self._link = _Link(settings, self._lock_fds, self._fence, self._heard, self._ended)

    def spawn(self, fds: Sequence[int], **more: object) -> int:
        """Have a child started with these descriptors, and return its life.

        `more` are settings beside those of all children.
        """
        life = next(self._lives)
        self._say(("spawn", life, {**self._more, **more}), fds)
        return life

    def change(self, **settings: object) -> None:
        """Settings of the children that are started from now on."""
        self._more |= settings

    def signal(self, life: int, number: int) -> None:
        """Signal a child. Nothing happens when it has ended."""
        self._say(("signal", life, number))

    async def stop(self) -> None:
        """End the supervisor, and with it everything below it; return when nothing is left."""
        link = self._link
        if link is not None:
            link.hang_up()
            if not await link.gone(self._silence):
                log.error(
                    "the supervisor of the worker processes has not ended after %g s: it is killed",
                    self._silence,
                )
                link.process.kill()
                await link.gone(None)
        if self._clearing is not None:
            await self._clearing

    def _say(self, header: Sequence[object], fds: Sequence[int] = ()) -> None:
        if self._link is not None:
            self._link.say(encode(header), fds)

    def _heard(self, frame: bytes) -> None:
        match decode(frame)[0]:
            case ["started", life, pid]:
                self.pids[life] = pid
            case ["exited", life, status, note]:
                self.pids.pop(life, None)
                self._on_exited(life, status, note)
            case ["lingering", pids]:
                _tell_lingering(pids)

    def _ended(self) -> None:
        self._link = None
        self._clearing = asyncio.get_running_loop().create_task(self._clear())

    async def _clear(self) -> None:
        """Kill and reap what the supervisor has left to this process."""
        grace = process_tree.TrackerGrace()
        telling = asyncio.get_running_loop().call_later(LINGER, self._tell_left)
        while process_tree.clear_marked(  # noqa: ASYNC110 - the kernel wakes nobody for this
            self._mark, grace
        ):
            await asyncio.sleep(_SWEEP_PAUSE)
        telling.cancel()
        self.pids.clear()
        self._on_lost()

    def _tell_left(self) -> None:
        _tell_lingering([process.pid for process in process_tree.marked(self._mark)])


def _tell_lingering(pids: Sequence[int]) -> None:
    log.warning("processes %s of jobs were killed and have not ended: workers wait for that", pids)


class _Link:
    """One supervisor process, from its start to its end.

    Raises OSError when it cannot be started.
    """

    def __init__(
        self,
        settings: SupervisorSettings,
        lock_fds: Sequence[int],
        fence: Callable[[], float | None],
        on_frame: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._fence = fence
        self._on_frame = on_frame
        self._on_end = on_end
        self._silence = settings.silence
        self._sock, theirs = channel.pair()
        with theirs:
            self.process = _start(replace(settings, control=theirs.fileno()), theirs, lock_fds)
        self._sock.setblocking(False)
        self._receiver = channel.Receiver(self._sock)
        self._pidfd = os.pidfd_open(self.process.pid)
        self._gone = asyncio.Event()
        self._hung_up = threading.Event()
        self._heard_until = time.monotonic() + max(_START_MAX, self._silence)
        self._loop.add_reader(self._sock, self._read)
        self._loop.add_reader(self._pidfd, self._end)
        self._watch = self._loop.call_later(self._silence, self._check)
        self._pings = threading.Thread(target=self._ping, name="headrace-ping", daemon=True)
        self._pings.start()

    def say(self, frame: bytes, fds: Sequence[int]) -> None:
        """Send a command.

        A supervisor that has no room for it is stuck, and is killed: nothing waits for it.
        """
        try:
            socket.send_fds(self._sock, [frame], fds)
        except BlockingIOError:
            self.process.kill()
        except OSError:
            return  # it has ended: _end follows

    def hang_up(self) -> None:
        """Let the supervisor see that the server is gone."""
        self._hung_up.set()
        self._pings.join()
        self._watch.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    async def gone(self, seconds: float | None) -> bool:
        """Wait for the end of the process; False when it has not come in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        return self._gone.is_set()

    def _ping(self) -> None:
        while not self._hung_up.wait(self._silence / PINGS):
            with contextlib.suppress(OSError):  # no room, or no supervisor: found out elsewhere
                self._sock.send(encode(("ping", self._fence())), socket.MSG_DONTWAIT)

    def _read(self) -> None:
        for _ in range(_FRAMES_PER_WAKE):
            try:
                frame = self._receiver.frame()
            except BlockingIOError:
                return
            except ConnectionResetError:
                frame = b""
            if not frame:
                self._loop.remove_reader(self._sock)
                return
            self._heard_until = time.monotonic() + self._silence
            self._on_frame(frame)

    def _check(self) -> None:
        """When the loop was busy, what has come meanwhile was read before this is called."""
        left = self._heard_until - time.monotonic()
        if left <= 0:
            log.error(
                "the supervisor of the worker processes said nothing for %g s: it is killed", self._silence
            )
            self.process.kill()
        else:
            # Its first word may have been waited for longer than any other will be.
            self._watch = self._loop.call_later(min(left, self._silence), self._check)

    def _end(self) -> None:
        self.process.wait()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self._hung_up.is_set():
            self._read()
            self.hang_up()
        self._gone.set()
        self._on_end()


def _start(
    settings: SupervisorSettings, control: socket.socket, lock_fds: Sequence[int]
) -> "subprocess.Popen[bytes]":
    # -P: a file in the working directory is not to stand in for a module of the standard library.
    command = [sys.executable, "-P", "-m", "headrace_server.work.supervisor", json.dumps(asdict(settings))]
    inherited = [control.fileno(), *lock_fds]
    return subprocess.Popen(  # noqa: S603 - this very program
        command, stdin=subprocess.DEVNULL, pass_fds=inherited, start_new_session=True
    )
