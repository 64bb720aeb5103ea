"""One server for one database: an flock on `<database>.lock`, with pid and host of its holder inside.

    server ──holds──> jobs.db.lock <──shares the descriptor── supervisor
       ✝ dies                                │
    new server ── "held by 123, who is dead: its supervisor is sweeping" ── waits ── gets it ──> recovery

The lock belongs to the open file, not to a process: it is free when the last duplicate of its descriptor is closed.
The server gives one duplicate to its supervisor (`fd`, through pass_fds) and to nobody else; a job's process that
inherited one would hold the database for ever. So a restarted server cannot claim before the old children are gone.

The lock has a file of its own because closing any descriptor of the database itself would drop SQLite's locks on it.
"""

import fcntl
import os
import select
import socket
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

from headrace_server.store import dialect
from headrace_server.store.dialect.sqlite import database_path
from headrace_server.store.refusal import DatabaseInUse, NetworkFilesystem, StoreRefused

SWEEP_WAIT: Final = 10.0
"""Seconds that a dead holder's supervisor is given to end its children."""

NETWORK_FILESYSTEMS: Final = frozenset(
    {"afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb2", "smb3", "smbfs"}
)
"""Where locks cannot be trusted."""

_POLL: Final = 0.05


class Holder(NamedTuple):
    """Who holds a lock; alive is False for one that has ended and left processes behind."""

    pid: str
    host: str
    alive: bool


class StoreLock:
    """The right to serve a database, held until `release` and by whoever else has the descriptor.

    fd is not inheritable by itself: pass it on by name (pass_fds). It is None where a database is shared: many may
    serve it, and each proves by its lease that it lives.
    """

    def __init__(self, fd: int | None) -> None:
        self.fd = fd

    @classmethod
    def take(cls, url: str, *, wait: float = SWEEP_WAIT) -> Self:
        """Take the lock of the database of this URL, or raise StoreRefused with a sentence that says why not.

        Blocks for at most `wait` seconds, and only when the holder is dead but its supervisor has not ended yet.
        """
        if dialect.of_url(url).shared:
            return cls(None)
        database = Path(database_path(url)).absolute()
        _refuse_network(database)
        try:
            fd = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreRefused(f"The database {database} cannot be opened: {error.strerror}.") from error
        try:
            _lock(fd, database, time.monotonic() + wait)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        except OSError as error:
            os.close(fd)
            raise StoreRefused(f"The database {database} cannot be locked: {error.strerror}.") from error
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Give up this process's share. LOCK_UN would take the supervisor's away with it."""
        if self.fd is not None:
            os.close(self.fd)


def _lock(fd: int, database: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Read anew each time: the holder may have changed, or not have written its name yet.
            pid, host, alive = _read(fd)
            if alive:
                raise DatabaseInUse(
                    f"The database {database} is in use by process {pid} on {host}: "
                    "stop that server, or give this one another database."
                ) from None
            if time.monotonic() > deadline:
                raise DatabaseInUse(
                    f"The database {database} was in use by process {pid} on {host}, which has ended, "
                    "but processes that it started still hold it: end them, then start again."
                ) from None
            time.sleep(_POLL)
        else:
            return


def holder(url: str) -> Holder | None:
    """Who holds the lock of the database of this URL, without taking it. Raises StoreRefused."""
    database = Path(database_path(url)).absolute()
    try:
        fd = os.open(f"{database}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreRefused(f"The lock {database}.lock cannot be read: {error.strerror}.") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment: who starts now tries again
    except BlockingIOError:
        return _read(fd)
    finally:
        os.close(fd)
    return None


def _read(fd: int) -> Holder:
    pid, _, host = os.pread(fd, 4096, 0).decode(errors="replace").strip().partition(" ")
    return Holder(pid, host, _alive(pid, host))


def _alive(pid: str, host: str) -> bool:
    """Whether the holder still runs; one on another host is taken at its word."""
    if not pid.isdecimal():
        return False
    if host != socket.gethostname():
        return True
    try:
        process = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return False
    with os.fdopen(process, "rb", buffering=0):
        # Readable once it has ended, even while nobody has reaped it.
        return not select.select([process], [], [], 0)[0]


def _refuse_network(database: Path) -> None:
    """Raise when the mount table says that the file lies on another machine's disk."""
    kind = file_system(database.parent)
    if kind in NETWORK_FILESYSTEMS:
        raise NetworkFilesystem(
            f"The database {database} lies on a network file system ({kind}), where locks cannot be trusted: "
            "give a path on a local disk."
        )


def file_system(folder: Path) -> str:
    """The kind of file system on which a folder lies, as the mount table has it; "" where there is no table."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""  # No mount table, no verdict.
    kinds: dict[str, str] = {}
    for mount in mounts:
        fields, _, kind = mount.partition(" - ")
        kinds[fields.split(" ")[4]] = kind.split(" ")[0]
    resolved = folder.resolve()
    places = (str(place).replace(" ", "\\040") for place in (resolved, *resolved.parents))
    return next((kinds[place] for place in places if kinds.get(place)), "")
