"""Disk space for workspaces: a warning in time, and then no job starts that needs one.

A full disk fails every job that writes, each in its own way, and most of them half done. So a type
says that it uses a workspace, and while there is too little room its jobs stay where they are,
QUEUED and unharmed. Types that need none go on.
"""

import logging
import shutil
import time
from pathlib import Path

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds for which a look at the disk holds."""


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest existing folder above it.

    A folder that is made only when it is needed will lie there.
    """
    return next(place for place in (folder, *folder.parents) if place.exists())


class DiskSpace:
    """The disk below a folder.

    `warn` and `least` are bytes of free space, as users without superuser rights have it.
    """

    def __init__(self, folder: Path, *, warn: int, least: int) -> None:
        self._folder = folder
        self._warn = warn
        self._least = least
        self._looked_at = float("-inf")
        self._said = logging.DEBUG
        self.free = 0
        """Bytes that were free at the last look."""

    def room(self) -> bool:
        """Whether jobs that need a workspace may start."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK:
            self._looked_at = now
            self._look()
        return self.free >= self._least

    def _look(self) -> None:
        self.free = shutil.disk_usage(nearest(self._folder)).free
        self._say()

    def _say(self) -> None:
        """Each state is logged when it comes, not again and again."""
        if self.free < self._least:
            level = logging.ERROR
            text = "no job that needs a workspace is started: %s has %d MiB free, and %d is the least"
        elif self.free < self._warn:
            level, text = logging.WARNING, "disk space is short: %s has %d MiB free; below %d this warns"
        else:
            level, text = logging.INFO, "there is disk space again: %s has %d MiB free, more than %d"
        if level != self._said and (level > logging.INFO or self._said > logging.INFO):
            bound = self._least if level == logging.ERROR else self._warn
            log.log(level, text, self._folder, self.free >> 20, bound >> 20)
        self._said = level
