"""One server for one database: two flocks, on `<database>.lock` and on the database itself.

    server ──holds──> jobs.db.lock, jobs.db <──shares the descriptors── supervisor
       ✝ dies                                │
    new server ── "held by 123, who is dead: its supervisor is sweeping" ── waits ── gets them ──> recovery

A flock belongs to the open file, not to a process: it is free when the last duplicate of its
descriptor is closed. The server gives one duplicate of each to its supervisor (`fds`, through
pass_fds) and to nobody else; a job's process that inherited one would hold the database for ever.
So a restarted server cannot claim before the old children are gone.

**Why two.** The lock beside the database has pid and host of its holder inside, for the sentence
that refuses another. But it goes by a name: it can be removed, and a bind mount or a hard link
leads to the same database past it. The lock on the database goes by what the file is. A symbolic
link is resolved first, as SQLite does. After each lock the path is looked at again: what was locked
is what stands there now, not what stood there before somebody replaced it.

A database with two names is refused: its log (-wal) belongs to one of them, and who opens the other
misses it.
"""

import contextlib
import fcntl
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from headrace_server.store import sql
from headrace_server.store.errors import DatabaseInUse, StoreRefused
from headrace_server.store.opening import inode
from headrace_server.store.opening.mounts import refuse_network
from headrace_server.store.sql.sqlite import database_file

SWEEP_WAIT: Final = 10.0
"""Seconds that a dead holder's supervisor is given to end its children."""

_POLL: Final = 0.05


class Holder(NamedTuple):
    """The process that holds a lock.

    `alive` is False for a process that has ended and left processes behind. `pid` is empty when
    unknown.
    """

    pid: str
    host: str
    alive: bool


class StoreLock:
    """The right to serve a database.

    It is held until `release`, and by every other process that has the descriptors.

    fds are not inheritable by themselves: pass them on by name (pass_fds). There are none where a
    database is shared: many may serve it, and each proves by its lease that it lives.
    """

    def __init__(self, database: Path | None = None, fds: Sequence[int] = ()) -> None:
        self._database = database
        self.fds = fds

    @classmethod
    def take(cls, url: str, *, wait: float = SWEEP_WAIT) -> Self:
        """Take the locks of the database of this URL.

        Raises StoreRefused with a sentence that says why not.

        A database that is not there is made, empty. Blocks for at most `wait` seconds, and only
        when the holder is dead but its supervisor has not ended yet.
        """
        if sql.of_url(url).shared:
            return cls()
        database = database_file(url)
        refuse_network(database)
        deadline = time.monotonic() + wait
        with contextlib.ExitStack() as undo:
            try:
                name = _hold(_beside(database), database, _open_beside, _read, deadline)
                undo.callback(os.close, name)
                file = _hold(database, database, inode.open_once, _seen, deadline, close=inode.close)
                undo.callback(inode.close, file)
                refuse_other_names(database)
                os.ftruncate(name, 0)
                os.pwrite(name, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
            except inode.HeldHere:
                raise _in_use(database, _myself()) from None
            except OSError as error:
                raise StoreRefused(f"The database {database} cannot be opened: {error.strerror}.") from error
            undo.pop_all()
        return cls(database, (name, file))

    def verify(self) -> None:
        """Raise StoreRefused when the path leads to another file than the one that is locked."""
        if self._database is not None and not _stands(self._database, self.fds[1]):
            raise StoreRefused(
                f"The database {self._database} was replaced while the server started: start it again."
            )

    def release(self) -> None:
        """Give up this process's share, once its store is closed.

        LOCK_UN would take away the supervisor's share with it.
        """
        if self.fds:
            name, file = self.fds
            inode.close(file)
            os.close(name)


def holder(url: str) -> Holder | None:
    """Return the process that serves the database of this URL, or None.

    No lock is taken from any process. Raises StoreRefused.
    """
    database = database_file(url)
    if inode.held_here(database):
        return _myself()
    return _holder_beside(_beside(database)) or _holder_of(database)


def _holder_beside(path: Path) -> Holder | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreRefused(f"The lock {path} cannot be read: {error.strerror}.") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment: who starts now tries again
    except BlockingIOError:
        return _read(fd)
    finally:
        os.close(fd)
    return None


def _holder_of(database: Path) -> Holder | None:
    """Return the holder of a database by the kernel's list alone, or None.

    A lock taken even for a moment would be held against a server that starts now.
    """
    found = inode.at(database)
    holder = None if found is None else _listed(found)
    return holder if holder is not None and holder.pid else None


def _beside(database: Path) -> Path:
    return Path(f"{database}.lock")


def _open_beside(path: Path) -> int:
    if path.is_symlink():  # what it leads to is not ours to write into
        raise StoreRefused(f"The lock {path} is a symbolic link: remove it.")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _hold(
    path: Path,
    database: Path,
    open_: Callable[[Path], int],
    who: Callable[[int], Holder],
    deadline: float,
    *,
    close: Callable[[int], None] = os.close,
) -> int:
    """Open what stands at a path and lock it, until what is locked is what stands there."""
    while True:
        fd = open_(path)
        try:
            _refuse_irregular(fd, path)
            _lock(fd, database, who, deadline)
            if _stands(path, fd):
                return fd
        except BaseException:
            close(fd)
            raise
        close(fd)


def _stands(path: Path, fd: int) -> bool:
    return inode.at(path) == inode.of(fd)


def _lock(fd: int, database: Path, who: Callable[[int], Holder], deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Asked anew each time: the holder may have changed, or not have written its name yet.
            found = who(fd)
            if found.alive or time.monotonic() > deadline:
                raise _in_use(database, found) from None
            time.sleep(_POLL)
        else:
            return


def _in_use(database: Path, found: Holder) -> DatabaseInUse:
    if not found.pid:
        return DatabaseInUse(
            f"The database {database} is in use by a process that cannot be seen from here: end it, then start again."
        )
    if found.alive:
        return DatabaseInUse(
            f"The database {database} is in use by process {found.pid} on {found.host}: "
            "stop that server, or give this one another database."
        )
    return DatabaseInUse(
        f"The database {database} was in use by process {found.pid} on {found.host}, which has ended, "
        "but processes that it started still hold it: end them, then start again."
    )


def _refuse_irregular(fd: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise StoreRefused(f"{path} is no regular file: move it away, or give another database.")


def refuse_other_names(database: Path) -> None:
    """Raise StoreRefused for a database with hard links."""
    names = database.stat().st_nlink
    if names != 1:
        raise StoreRefused(
            f"The database {database} has {names} names (hard links), and its log belongs to one of them: remove the "
            f"others (find / -samefile '{database}')."
        )


def _myself() -> Holder:
    return Holder(str(os.getpid()), socket.gethostname(), alive=True)


def _read(fd: int) -> Holder:
    """The holder by the name that it has left in the lock."""
    pid, _, host = os.pread(fd, 4096, 0).decode(errors="replace").strip().partition(" ")
    return Holder(pid, host, _alive(pid, host))


def _seen(fd: int) -> Holder:
    """Return the holder of a database whose lock file beside it was free.

    That lock file was removed, or is not the one of this name.
    """
    return _listed(inode.of(fd))


def _listed(place: inode.Identity) -> Holder:
    pid, host = inode.locked_by(place), socket.gethostname()
    return Holder(pid, host, _alive(pid, host))


def _alive(pid: str, host: str) -> bool:
    """Whether the holder still runs; one on another host is taken at its word."""
    if not pid.isdecimal():
        return False
    if host != socket.gethostname():
        return True
    try:
        process = os.pidfd_open(int(pid))
    except (OSError, OverflowError):
        return False
    with os.fdopen(process, "rb", buffering=0):
        # Readable once it has ended, even while nobody has reaped it.
        return not select.select([process], [], [], 0)[0]
