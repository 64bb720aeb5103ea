"""Workspaces: a private directory for each run, <home>/<job id>-<claim>, removed at any end of it.

The child makes it on first use and removes it when the run has ended. Where the child died, the
pool removes it; what a dead server left, the next one removes with that server's home.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from headrace_server.work.linux.removal import DIRECTORY, PRIVATE
from headrace_server.work.linux.removal import remove as remove_from

LEFT: Final = "{} could not be removed wholly: something is mounted or protected there"


def path_of(root: Path, job_id: str, claim: int) -> Path:
    """Return the path of a run's workspace, whether it has been made or not."""
    return root / f"{job_id}-{claim}"


def make(path: Path) -> None:
    """Make a workspace: an empty directory for this user alone. Raises OSError."""
    home = _home_again(path.parent)
    try:
        os.mkdir(path.name, PRIVATE, dir_fd=home)
    finally:
        os.close(home)


def _home_again(path: Path) -> int:
    """Open the home, and make it again where it is gone.

    It is there, unless the folder of temporary files was tidied up or a job has replaced it.
    """
    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    clear_place(path)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=PRIVATE)
    return _open_home(path)


def clear_place(path: Path) -> None:
    """Remove what stands where a home was, if it is a link or a file.

    That is no folder of ours; what a link leads to stays.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()


def remove(path: Path) -> bool:
    """Remove a workspace and all that is in it.

    Returns False when something had to stay; see removal for what that is.
    """
    try:
        home = _open_home(path.parent)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return remove_from(home, path.name)
    finally:
        os.close(home)


def _open_home(path: Path) -> int:
    """Open the folder of the workspaces, which is no link and belongs to this user.

    Raises OSError.
    """
    fd = os.open(path, DIRECTORY)
    if os.fstat(fd).st_uid != os.geteuid():
        os.close(fd)
        raise PermissionError(f"The folder {path} does not belong to the user who runs the server.")
    return fd
