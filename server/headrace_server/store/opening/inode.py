"""The file behind a name: which one it is, who has it locked, and that this process opens it once.

POSIX takes every lock that a process has on a file away when the process closes *any* descriptor of
it. SQLite's own locks are such: one open and close of the database beside a running store, and the
next program that looks at it takes itself for the last one and deletes the log under an open
transaction. So a database is opened here once for each process, is not opened again while it is
held, and is closed when the store is.
"""

import os
import threading
from pathlib import Path
from typing import NamedTuple

_guard = threading.Lock()
_held: dict["Identity", list[int]] = {}
"""The descriptors that this process has of each database."""


class Identity(NamedTuple):
    """A file, whatever its name: device and inode."""

    device: int
    inode: int


class HeldHere(Exception):
    """This very process holds the database already."""


def at(path: Path) -> Identity | None:
    """Return the identity of what a path leads to, or None for nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def of(fd: int) -> Identity:
    """Return the identity of what a descriptor is open on."""
    found = os.fstat(fd)
    return Identity(found.st_dev, found.st_ino)


def held_here(path: Path) -> bool:
    """Whether this process has the database of this path open, under whatever name."""
    with _guard:
        return at(path) in _held


def open_once(path: Path) -> int:
    """Open a database, made if it is not there; `close` it again. Raises HeldHere, OSError."""
    with _guard:
        if at(path) in _held:
            raise HeldHere
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        fds = _held.setdefault(of(fd), [])
        fds.append(fd)
        if len(fds) > 1:  # put there just now: to be closed with the other, not before
            raise HeldHere
        return fd


def close(fd: int) -> None:
    """Close a database. No store of this process may have it open."""
    with _guard:
        for each in _held.pop(of(fd), [fd]):
            os.close(each)


def locked_by(place: Identity) -> str:
    """Return the id of the process that has the file flocked, as the kernel lists it.

    The id is empty when there is no such process, or when it cannot be seen from here.

    One of another container is not seen. The name stays that of the process that took the lock when
    it has ended and another still has its descriptor.
    """
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(place.device):02x}:{os.minor(place.device):02x}:{place.inode}"
    for line in lines:
        match line.split():
            case [_, "FLOCK", _, "WRITE", pid, file, *_] if file == wanted:
                return pid
    return ""
