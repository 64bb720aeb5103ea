"""A small disk of a test's own: a tmpfs, that can be filled to the last byte, and emptied again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of few bytes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def free(self) -> int:
        """Bytes that are left."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def take(self, size: int) -> None:
        """Take so many bytes away, or as many as there are."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for _ in range(0, size, 4096):
                file.write(b"\0" * 4096)

    def fill(self) -> None:
        """Leave no byte."""
        self.take(1 << 40)
        assert self.free() == 0

    def make_room(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        """Mount it anew, such as ro or rw."""
        _run("mount", "-o", f"remount,{how}", str(self.place))


@contextlib.contextmanager
def small_disk(place: Path, kib: int) -> Iterator[SmallDisk]:
    """A disk of so many KiB, mounted at a new folder; unmounted at the end, whatever happens."""
    place.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.fail(f"This test mounts a small tmpfs, which needs root (CAP_SYS_ADMIN): {error}")
    try:
        yield SmallDisk(place)
    finally:
        # Lazily: also while something of a test that failed still has it open.
        _run("umount", "--lazy", str(place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
