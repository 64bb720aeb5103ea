"""Homes: where several instances of one machine keep workspaces, each has a folder of its own.

    root/4711-c0ffee/          the workspaces of one instance
    root/4711-c0ffee.lock      held by it and by its supervisor, for as long as anything below them runs

On an SQLite file there can be one instance, and its root is its home. On a database that is shared nobody may empty the
root at the start: it would take the workspaces of others away under their jobs. So what is empty of life is found by
its lock, which the kernel lets go when the last process is gone that holds it.
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from typing import Self

from headrace_server.work import workspace


class Home:
    """A folder of one's own. fd is the lock's descriptor, to be shared with the supervisor."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def take(cls, root: Path) -> Self:
        """Make one below root, and remove those of the dead. Raises OSError."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for lock in root.glob("*.lock"):
            _remove_dead(lock)
        path = root.absolute() / f"{os.getpid()}-{secrets.token_hex(3)}"
        new = path.with_suffix(".new")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        new.rename(_lock_of(path))  # seen by others only now that it is held
        return cls(path, fd)

    def release(self) -> None:
        """Nothing runs here any more: remove it."""
        workspace.remove(self.path)
        with contextlib.suppress(OSError):
            _lock_of(self.path).unlink()
        os.close(self.fd)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _remove_dead(lock: Path) -> None:
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # another has just removed it
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        workspace.remove(lock.with_suffix(""))
        lock.unlink(missing_ok=True)
    except BlockingIOError:
        pass  # it lives
    finally:
        os.close(fd)
