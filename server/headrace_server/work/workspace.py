"""Workspaces: a private directory for each run, <root>/<job id>-<claim>, removed at any end of it.

The child makes it on first use and removes it when the run has ended. Where the child died, the pool removes
it; what a dead server left, the next one wipes at its start.

Removal must manage what jobs leave: directories without write permission, and trees so deep that a path to
their leaves is too long for the kernel and a recursion too deep for Python. So it does not descend: it moves
every directory it meets up into a bin beside the workspace, and empties one after the other.

    root/job-1/a/b/c   ->   root/job-1.bin/{0: job-1}   ->   {1: a}   ->   {2: b}   ->   {3: c}   ->   gone
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

_PRIVATE = stat.S_IRWXU
_BATCH = 10_000


def path_of(root: Path, job_id: str, claim: int) -> Path:
    """Where the workspace of a run is, whether it has been made or not."""
    return root / f"{job_id}-{claim}"


def make(path: Path) -> None:
    """Make a workspace: an empty directory for this user alone."""
    path.mkdir(mode=_PRIVATE, parents=True)


def remove(path: Path) -> bool:
    """Remove a directory and all that is in it; False when something could not be removed.

    It goes on where one who was killed at it has stopped: the directory is then in the bin, whole or in part.
    """
    bin_ = path.with_name(path.name + ".bin")
    if not path.is_dir() and not bin_.is_dir():
        return True
    try:
        bin_.mkdir(mode=_PRIVATE, exist_ok=True)
        held = [int(entry.name) for entry in bin_.iterdir()]
        if path.is_dir():
            path.chmod(_PRIVATE)
            held.append(max(held, default=-1) + 1)
            path.rename(bin_ / str(held[-1]))
        complete = _empty(bin_, held)
        bin_.rmdir()
    except OSError:
        return False
    return complete


def wipe(root: Path) -> None:
    """Make root an empty directory for this user alone."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(_PRIVATE)
    for entry in list(root.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            remove(entry)
        else:
            with contextlib.suppress(OSError):
                entry.unlink()


def _empty(bin_: Path, held: Sequence[int]) -> bool:
    """Remove what a bin holds under these numbers."""
    complete = True
    todo = [bin_ / str(number) for number in held]
    count = max(held, default=0)
    while todo:
        directory = todo.pop()
        for entry in _entries(directory):
            try:
                if entry.is_dir(follow_symlinks=False):
                    count += 1
                    Path(entry.path).chmod(_PRIVATE)  # moving a directory writes its ".."
                    Path(entry.path).rename(bin_ / str(count))
                    todo.append(bin_ / str(count))
                else:
                    Path(entry.path).unlink()
            except OSError:  # a mount point, an immutable file
                complete = False
        with contextlib.suppress(OSError):
            directory.rmdir()
    return complete


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a directory that is being emptied, some at a time: there may be millions."""
    seen: set[str] = set()
    while True:
        # A directory that changes while it is read may not show all; so it is read anew until nothing is new.
        with os.scandir(directory) as entries:
            batch = list(islice((entry for entry in entries if entry.name not in seen), _BATCH))
        if not batch:
            return
        yield from batch
        seen = {entry.name for entry in batch if os.path.lexists(entry.path)} | seen
