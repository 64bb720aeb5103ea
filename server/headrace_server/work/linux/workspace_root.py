"""Open the folder below which instances keep their directories.

The operator gives it, or it lies in the folder of temporary files.

Anybody may write in the folder of temporary files, and so make beforehand what is going to be
opened there: a link to somewhere else, a folder that is his. So what lies below it is opened step
by step, never through a link, and has to belong to this user, with nobody else allowed to write. A
folder that the operator has given may be there before, with other things in it, and may be reached
through links: it only has to belong to this user, or to root.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

from headrace_server.work.linux.removal import DIRECTORY, NO_DIRECTORY, PRIVATE

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class WorkspaceRefused(Exception):
    """The folder for workspaces cannot be used.

    The text is a sentence for the operator that starts the server.
    """


def open_root(root: Path, *, below: Path | None = None) -> int:
    """Open the folder, and make it if it is not there.

    `below` is a folder above it where everybody may write, if there is one. Raises
    WorkspaceRefused.
    """
    try:
        if below is None:
            root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            return _given(root)
        return _descend(root, below)
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError) or error.errno == errno.ELOOP:
            raise WorkspaceRefused(
                _refusal(root, "is no folder, or one of the folders above it is none")
            ) from None
        raise WorkspaceRefused(
            f"The folder {root} for workspaces cannot be used ({error.strerror}): change that, or give another with --workspace."
        ) from error


def trouble(root: Path, *, below: Path | None = None) -> str:
    """Why what is there already is refused; "" for nothing. It makes nothing."""
    try:
        if below is not None:
            for step in (*reversed(root.parents), root):
                if step.is_relative_to(below) and step != below and os.path.lexists(step):
                    os.close(_own(step))
        elif root.is_dir():
            os.close(_given(root))
    except WorkspaceRefused as refused:
        return str(refused)
    except OSError:
        return ""  # found by who tries to write there
    return ""


def _given(root: Path) -> int:
    return _checked(os.open(root, _FOLDER), root, {os.geteuid(), 0})


def _descend(root: Path, below: Path) -> int:
    folder, place = os.open(below, _FOLDER), below
    for name in root.relative_to(below).parts:
        place /= name
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, PRIVATE, dir_fd=folder)
            step = _own(place, name, folder)
        finally:
            os.close(folder)
        folder = step
    return folder


def _own(place: Path, name: str = "", folder: int | None = None) -> int:
    """Open a folder where others could have put something else."""
    try:
        fd = os.open(name or place, DIRECTORY, dir_fd=folder)
    except OSError as error:
        if error.errno not in NO_DIRECTORY:
            raise
        what = "a symbolic link" if place.is_symlink() else "no folder"
        raise WorkspaceRefused(_refusal(place, f"is {what}")) from None
    _checked(fd, place, {os.geteuid()})
    if os.fstat(fd).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(fd)
        raise WorkspaceRefused(_refusal(place, "can be written by others"))
    return fd


def _checked(fd: int, place: Path, owners: set[int]) -> int:
    owner = os.fstat(fd).st_uid
    if owner not in owners:
        os.close(fd)
        raise WorkspaceRefused(
            _refusal(place, f"belongs to user {owner}, not to {os.geteuid()} who runs the server")
        )
    return fd


def _refusal(place: Path, why: str) -> str:
    return f"The folder {place} for workspaces {why}: remove it, or give another with --workspace."
