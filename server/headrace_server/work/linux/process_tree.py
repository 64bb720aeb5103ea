"""Killing a tree of processes to the last leaf, on Linux, without cgroups and without privileges.

A process group is not a tree: one setsid leaves it. A parent id is not a tree either: when a parent
dies, its children go to init. What holds is the *subreaper* (prctl 36): orphans below one go to it
instead of to init. Headrace has three, one inside the other, so that whatever dies, somebody is
above what it leaves behind:

    server ─────── supervisor ─────── child ─────── what the job's code starts, setsid or not
    (subreaper)    (subreaper)        (subreaper)
                                        │ after each job: sweeps all below itself
                        │ when a child has died: what is below the supervisor and below no child
        │ when the supervisor has died: what is below the server and bears the pool's mark

A sweep goes in rounds. A round reads /proc once, kills every descendant found and counts those it
saw, zombies included; the sweeper reaps, and goes on until a round sees none. Zombies count because
the reading is not atomic: a process may fork after the list was made and die before it is looked
at. It is then a zombie, or its parent is, and only the sweeper itself can make the topmost one
vanish. So a round that sees nothing at all proves that nothing is there.

One kind of process is given a second to end by itself: the resource tracker of multiprocessing.
When the last process that uses it is gone, it unlinks what those have left in /dev/shm, which
nobody else would do.

A pid that is not one's own child may be used again at any time. So a kill goes through a pidfd,
opened first and then compared by start time with what the round had read.

Direct children that the server did not start are told apart by a *mark*: a hard limit for real-time
CPU time of some 10^18 microseconds, different for each pool. No program notices it; unlike an
environment variable or a session id it survives exec, setsid and an emptied environment.
"""

import contextlib
import ctypes
import os
import resource
import secrets
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIMIT_ROW = "Max realtime timeout"
_TRACKER = b"multiprocessing.resource_tracker"
TRACKER_IDLE_SECONDS = 1.0
TRACKER_SECONDS = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


class Process(NamedTuple):
    """A process, by its line of /proc.

    `start` is the kernel's start time, which makes (pid, start) unique; `name` is that of its
    program. `asleep` says that it waits for something, and not for a processor.
    """

    pid: int
    name: str
    parent: int
    start: int
    zombie: bool
    asleep: bool


class TrackerGrace:
    """How long the resource trackers of one sweep may go on, from now.

    A tracker unlinks what its users have left and ends by itself: a matter of milliseconds, but of
    its own, and on a busy machine seconds pass before it has had them. So it is given up when it
    sleeps for a second after its users, whose pipe somebody still holds, and after ten in any case.
    """

    def __init__(self) -> None:
        self._idle_since = time.monotonic()
        self._until = self._idle_since + TRACKER_SECONDS

    def over(self, processes: Iterable[Process]) -> bool:
        """Return whether the trackers among all processes of the sweep are to be killed too."""
        now = time.monotonic()
        if not all(process.zombie or (process.asleep and _is_tracker(process)) for process in processes):
            self._idle_since = now
        return now > self._until or now - self._idle_since > TRACKER_IDLE_SECONDS


def become_subreaper() -> None:
    """From now on orphans below this process come to it."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have SIGKILL sent to this process when its parent ends.

    The parent must have one thread: the one that forked counts.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died before the call
        os._exit(1)


def flush_c_streams() -> None:
    """Write out what C code has printed: on a pipe, stdio keeps it in a buffer of its own."""
    _libc.fflush(None)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, *(ctypes.c_ulong(value) for value in (argument, 0, 0, 0))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def new_mark() -> int:
    """A mark for the processes of a pool."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if hard == resource.RLIM_INFINITY:
        return (1 << 61) + secrets.randbelow(1 << 60)
    return hard - 1 - secrets.randbelow(1000)


def wear_mark(mark: int) -> None:
    """Mark this process and all that it will start."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, mark))


def has_mark(process: Process, mark: int) -> bool:
    """Whether a process, or the zombie of one, bears the mark."""
    try:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
    except OSError:
        return False
    hard = next((line.split()[4] for line in limits.splitlines() if line.startswith(_LIMIT_ROW)), "")
    return hard == str(mark)


def has_children() -> bool:
    """Whether this process has a child, running or zombie. One system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(root: int, spare: Collection[int] = ()) -> list[Process]:
    """All processes below root, parents first; those in spare are left out with all below them."""
    children: dict[int, list[Process]] = {}
    for process in _processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    parents = [root]
    while parents:
        below = [process for process in children.get(parents.pop(), ()) if process.pid not in spare]
        found += below
        parents += [process.pid for process in below]
    return found


def kill_below(root: int, spare: Collection[int] = (), grace: TrackerGrace | None = None) -> int:
    """One round: SIGKILL for every descendant of root; answer how many were seen.

    Zombies are counted, and trackers that have a grace; processes that this user may not signal are
    not, for waiting for them has no end.
    """
    return kill_all(descendants(root, spare), grace)


def kill_all(processes: Collection[Process], grace: TrackerGrace | None = None) -> int:
    """SIGKILL for these; answers how many there are, as kill_below does."""
    trackers = grace is None or grace.over(processes)
    return sum(
        process.zombie or (not trackers and _is_tracker(process)) or _kill(process) for process in processes
    )


def marked(mark: int) -> list[Process]:
    """The processes below this one that bear the mark."""
    return [process for process in descendants(os.getpid()) if has_mark(process, mark)]


def clear_marked(mark: int, grace: TrackerGrace | None = None) -> int:
    """Make one round for the marked processes below this one, and leave all others alone.

    They are killed, and reaped where they have become children of this process; answers how many
    were seen.
    """
    me = os.getpid()
    found = marked(mark)
    for process in found:
        if process.zombie and process.parent == me:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
    return kill_all(found, grace)


def sweep(
    pause: Callable[[float], None], spare: Collection[int] = ()
) -> tuple[dict[int, int], list[Process]]:
    """Kill and reap every process below this one, which is a subreaper.

    `pause(seconds)` is called between rounds.

    Answers the wait status of each process reaped, and those that were running when it began.
    """
    statuses: dict[int, int] = {}
    running: list[Process] | None = None
    wait, grace = 0.0005, TrackerGrace()
    while has_children():
        reaped = reap_all()
        statuses |= reaped
        seen = descendants(os.getpid(), spare)
        if not reaped and not seen:
            break
        if running is None:
            running = [process for process in seen if _is_running(process)]
        kill_all(seen, grace)
        pause(wait)
        wait = min(wait * 2, 0.02)
    return statuses, running or []


def reap_all() -> dict[int, int]:
    """Reap every dead child of this process: pid -> wait status."""
    reaped: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            reaped[pid] = status
    return reaped


def _processes() -> Iterator[Process]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - Path objects cost more here
        if name.isdigit() and (process := _process(int(name))) is not None:
            yield process


def _process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - Path objects cost more here
            line = file.read()
    except OSError:  # it is gone
        return None
    # The second field is the program's name in parentheses, and may hold any character.
    name, _, fields = line.partition(b" ")[2].rpartition(b")")
    state, parent, *rest = fields.split()
    return Process(
        pid,
        name[1:].decode(errors="replace"),
        int(parent),
        int(rest[17]),
        state in (b"Z", b"X"),
        state == b"S",
    )


def _is_tracker(process: Process) -> bool:
    return _TRACKER in _command(process)


def _is_running(process: Process) -> bool:
    """Return whether a process is neither a zombie nor about to be one, nor a tracker.

    A tracker is a resource tracker of multiprocessing.
    """
    command = _command(process)
    return bool(command) and _TRACKER not in command


def _command(process: Process) -> bytes:
    """Its command line; empty when it is gone, or has begun to go."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _kill(process: Process) -> bool:
    """SIGKILL; True unless this user may not."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        now = _process(process.pid)
        if now is not None and now.start == process.start:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(pidfd)
    return True
