"""Keep each instance's workspaces in a folder of its own, and remove the folders of the dead.

    root/headrace-4711-c0ffee/             locked by the instance and its supervisor while anything below them runs
    root/headrace-4711-c0ffee/.headrace    the mark
    root/headrace-4711-c0ffee/JOB-1/       a workspace

The root may be anybody's folder, with anything in it, and several instances may use it. What may be
removed there has to be proved: it bears the name of a home, it is no link and no mount, it belongs
to this user, the mark of Headrace is in it, and nobody holds its lock, which the kernel lets go
when the last process is gone that has it. Anything else stays.

The lock is on the folder itself: programs that tidy up temporary files leave alone what is locked.
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Self

from headrace_server.work.linux.removal import DIRECTORY, PRIVATE, remove, same_mount
from headrace_server.work.linux.workspace import clear_place
from headrace_server.work.linux.workspace_root import WorkspaceRefused, open_root

log = logging.getLogger(__name__)

MARK = ".headrace"
_MARKED = b"Workspaces of a Headrace server, which removes this folder and all in it.\n"
_NAME = re.compile(r"headrace-\d+-[0-9a-f]{6}")


class InstanceDirectory:
    """A folder of one's own. fd is the lock's descriptor, to be shared with the supervisor."""

    def __init__(self, path: Path, fd: int, root: int) -> None:
        self.path = path
        self.fd = fd
        self._root = root

    @classmethod
    def take(cls, root: Path, *, below: Path | None = None) -> Self:
        """Make a directory in a folder, and remove those of dead instances.

        `below`: see open_root. Raises WorkspaceRefused.

        The folders of the dead may be huge, so this may take long.
        """
        folder = open_root(root, below=below)
        try:
            for name in sorted(filter(_NAME.fullmatch, os.listdir(folder))):  # noqa: PTH208 - a descriptor
                _remove_dead(folder, name)
            while (fd := _make(folder, name := f"headrace-{os.getpid()}-{secrets.token_hex(3)}")) is None:
                pass
        except OSError as error:
            os.close(folder)
            raise WorkspaceRefused(
                f"The folder {root} for workspaces cannot be written ({error.strerror}): change that, or give another "
                "with --workspace."
            ) from error
        return cls(Path(os.path.realpath(root)) / name, fd, folder)

    def release(self) -> None:
        """Nothing runs here any more: remove it."""
        clear_place(self.path)
        _clear(self._root, self.path.name, self.fd, own=True)
        os.close(self.fd)
        os.close(self._root)


def _make(folder: int, name: str) -> int | None:
    """Make a home and lock it; None when another took it for a dead one's before it was locked."""
    os.mkdir(name, PRIVATE, dir_fd=folder)
    try:
        fd = os.open(name, DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mark = os.open(MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
    except (BlockingIOError, FileNotFoundError):
        os.close(fd)
        return None
    with os.fdopen(mark, "wb") as file:
        file.write(_MARKED)
    return fd


def _remove_dead(folder: int, name: str) -> None:
    try:
        fd = os.open(name, DIRECTORY, dir_fd=folder)
    except OSError:  # a link, a file, or another has just removed it
        return
    try:
        if os.fstat(fd).st_uid == os.geteuid() and same_mount(folder, fd):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(folder, name, fd)
    except BlockingIOError:
        pass  # it lives
    finally:
        os.close(fd)


def _clear(folder: int, name: str, fd: int, *, own: bool = False) -> None:
    """Empty a home, the mark last, so that what is left of it can be proved; then remove it.

    One that is empty goes without: its maker was killed before it was marked, or whoever removed it
    before the end.
    """
    try:
        if own or _marked(fd):
            left = [entry for entry in os.listdir(fd) if entry != MARK and not remove(fd, entry)]
            if left:
                log.warning(
                    "%s in %s could not be removed: something is mounted or protected there", left[0], name
                )
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(MARK, dir_fd=fd)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=folder)
    except OSError as error:
        log.warning("workspaces in %s could not be removed: %s", name, error.strerror)


def _marked(fd: int) -> bool:
    try:
        mark = os.open(MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    with os.fdopen(mark, "rb", buffering=0) as file:
        found = os.fstat(mark)
        return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and file.read(999) == _MARKED
