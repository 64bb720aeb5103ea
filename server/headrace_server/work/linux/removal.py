"""Removing a tree of one's own, to the last leaf, and nothing else.

Jobs leave what is hard to remove: directories without write permission, and trees so deep that a
path to their leaves is too long for the kernel and a recursion too deep for Python. So this does
not descend: it moves every directory it meets up into a bin beside the tree, and empties one after
the other.

    home/job-1/a/b/c   ->   home/job-1.bin/{0: job-1}   ->   {1: a}   ->   {2: b}   ->   {3: c}   ->   gone

And they leave what leads elsewhere: a link or a mount in the place of a directory. So nothing here
goes by a path. Each directory is opened below one that is open, never through a link (O_NOFOLLOW);
a link goes, and what it leads to stays. A mount cannot be moved, so it is met before it is entered,
and stays, with the folders above it.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

PRIVATE = stat.S_IRWXU
"""The mode of what is for this user alone."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a directory is opened that may have been replaced by a link."""

NO_DIRECTORY = frozenset({errno.ENOTDIR, errno.ELOOP})
"""The errors of opening a link or a file in this way."""

_BATCH = 10_000


def remove(folder: int, name: str) -> bool:
    """Remove what has a name in an open folder, with all that is in it.

    Returns False when something had to stay.

    It goes on where one who was killed at it has stopped: the directory is then in the bin, whole
    or in part.
    """
    if not (_there(folder, name) or _there(folder, f"{name}.bin")):
        return True
    try:
        bin_ = _bin(folder, f"{name}.bin")
    except OSError:
        return False
    try:
        numbers = count(_beyond(bin_))
        moved = not _there(folder, name) or _move(folder, name, bin_, str(next(numbers)))
        emptied = _empty(bin_, numbers)
        os.rmdir(f"{name}.bin", dir_fd=folder)
    except OSError:
        return False
    finally:
        os.close(bin_)
    return moved and emptied


def same_mount(one: int, other: int) -> bool:
    """Return whether two open directories lie on one mount.

    The device alone does not show that: a bind mount has the device of what it shows.
    """
    return os.fstat(one).st_dev == os.fstat(other).st_dev and _mount(one) == _mount(other)


def _mount(fd: int) -> bytes:
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith(b"mnt_id:")), b"")


def _there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _bin(folder: int, name: str) -> int:
    """Open the bin, and make it if it is not there.

    What stands in its place is no directory of ours, and is removed.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, PRIVATE, dir_fd=folder)
    try:
        return os.open(name, DIRECTORY, dir_fd=folder)
    except OSError as error:
        if error.errno not in NO_DIRECTORY:
            raise
        os.unlink(name, dir_fd=folder)
        os.mkdir(name, PRIVATE, dir_fd=folder)
        return os.open(name, DIRECTORY, dir_fd=folder)


def _beyond(bin_: int) -> int:
    """The first number that nothing in a bin bears."""
    return max((int(name) for name in os.listdir(bin_) if name.isdecimal()), default=-1) + 1


def _empty(bin_: int, numbers: Iterator[int]) -> bool:
    complete = True
    todo = os.listdir(bin_)
    while todo:
        name = todo.pop()
        directory = _enter(bin_, name)
        if directory is None:
            complete &= _unlink(bin_, name)
            continue
        try:
            for entry in _entries(directory):
                if not entry.is_dir(follow_symlinks=False):
                    complete &= _unlink(directory, entry.name)
                elif _move(directory, entry.name, bin_, number := str(next(numbers))):
                    todo.append(number)
                else:  # a mount point
                    complete = False
        finally:
            os.close(directory)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=bin_)
    return complete


def _enter(bin_: int, name: str) -> int | None:
    """Open a directory of the bin, so that it can be emptied.

    Returns None for what is no directory, or is not ours to enter.
    """
    try:
        fd = os.open(name, DIRECTORY, dir_fd=bin_)
    except PermissionError:
        if not _permit(bin_, name):
            return None
        fd = os.open(name, DIRECTORY, dir_fd=bin_)
    except OSError as error:
        if error.errno not in NO_DIRECTORY:
            raise
        return None
    if not same_mount(bin_, fd):
        os.close(fd)
        return None
    if os.fstat(fd).st_mode & PRIVATE != PRIVATE:
        with contextlib.suppress(OSError):
            os.fchmod(fd, PRIVATE)
    return fd


def _move(source: int, name: str, bin_: int, number: str) -> bool:
    """Move an entry into the bin; False where the kernel does not let go of it: a mount point."""
    try:
        os.rename(name, number, src_dir_fd=source, dst_dir_fd=bin_)
    except PermissionError:  # moving a directory writes its ".."
        if not _permit(source, name):
            return False
    except OSError:
        return False
    else:
        return True
    try:
        os.rename(name, number, src_dir_fd=source, dst_dir_fd=bin_)
    except OSError:
        return False
    return True


def _permit(folder: int, name: str) -> bool:
    """Give this user all rights on a directory; return whether that worked.

    A directory that is mounted there keeps its own rights.
    """
    try:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        if not same_mount(folder, fd):
            return False
        Path(f"/proc/self/fd/{fd}").chmod(PRIVATE)  # O_PATH knows no fchmod
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _unlink(folder: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:  # a mount point, an immutable file
        return False
    return True


def _entries(directory: int) -> Iterator["os.DirEntry[str]"]:
    """The entries of a directory that is being emptied, some at a time: there may be millions."""
    seen: set[str] = set()
    while True:
        # A directory that changes while it is read may not show all; so it is read anew until
        # nothing is new.
        with os.scandir(directory) as entries:
            batch = list(islice((entry for entry in entries if entry.name not in seen), _BATCH))
        if not batch:
            return
        yield from batch
        seen = {entry.name for entry in batch if _there(directory, entry.name)} | seen
