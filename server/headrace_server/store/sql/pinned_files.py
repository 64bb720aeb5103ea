"""The files of a SQLite database that is served: they are still those that were opened.

SQLite does not notice when its file is deleted, replaced or cut, or its log (-wal) taken away. It
would write on to what nobody can open any more, and a new connection would make an empty database
in its place.

    path   ──stat──> another file, or none                      refused
           ──stat──> shorter, and the header says more pages    refused: it was cut (not by VACUUM)
    -wal   ──stat──> another file, or none, and this process
                     has the one of before still open           refused

A file that this process opened and closed again would cost SQLite its locks (see opening.inode), so
the header is read by a descriptor that SQLite has, found in /proc/self/fd.

A file of the same length with other bytes, and a log that was cut, are not seen here: SQLite says
"malformed" or "disk I/O error" when it comes to read them.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_Identity = tuple[int, int]


class PinnedFiles:
    """A database and its log, as they were when the store was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = Path(f"{path}-wal")
        found = _stat(path)
        self._file = _identity(found)
        self._size = 0 if found is None else found.st_size
        self._cut = ""
        self._log_file: _Identity | None = None

    def check(self, *_: Any) -> None:
        """Raise OperationalError when they are others."""
        found = _stat(self._path)
        if found is None or _identity(found) != self._file:
            raise sqlite3.OperationalError(
                f"its file {self._path} was deleted or replaced: put it back, or start the server anew"
            )
        if found.st_size < self._size and self._file is not None and _lacks_pages(self._file):
            # For good: what SQLite has in memory fits to nothing that is put in its place.
            self._cut = (
                f"its file {self._path} was cut from {self._size} to {found.st_size} bytes: "
                "stop the server and restore a copy"
            )
        if self._cut:
            raise sqlite3.OperationalError(self._cut)
        self._size = found.st_size
        self._check_log()

    def _check_log(self) -> None:
        log = _identity(_stat(self._log))
        if log == self._log_file:
            return
        if self._log_file is not None and any(_own(self._log_file)):
            raise sqlite3.OperationalError(
                f"its log {self._log} was deleted or replaced: put it back, or stop the server, "
                "which writes into the database what it has of it"
            )
        self._log_file = log


_pinned: "WeakKeyDictionary[Engine, PinnedFiles]" = WeakKeyDictionary()


def pin(engine: Engine, files: PinnedFiles) -> None:
    """From now on refuse to go on when the files are not those that were there."""
    _pinned[engine] = files
    event.listen(engine, "do_connect", files.check)
    event.listen(engine, "begin", files.check, insert=True)
    event.listen(engine, "commit", files.check)


def check(engine: Engine) -> None:
    """Raise OperationalError when the files of a pinned engine are others.

    For what is done outside of a transaction.
    """
    if (files := _pinned.get(engine)) is not None:
        files.check()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(found: os.stat_result | None) -> _Identity | None:
    return None if found is None else (found.st_dev, found.st_ino)


def _own(file: _Identity) -> Iterator[int]:
    """Yield the descriptors of this process that are open on a file."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if _identity(os.fstat(int(entry.name))) == file:
                yield int(entry.name)


def _lacks_pages(file: _Identity) -> bool:
    """Whether a database is shorter than its header says, or has none."""
    for descriptor in _own(file):
        header = os.pread(descriptor, _HEADER_BYTES, 0)
        if not header.startswith(_MAGIC):
            return True
        page = int.from_bytes(header[16:18], "big")
        pages = int.from_bytes(header[28:32], "big")
        return pages * (65536 if page == 1 else page) > os.fstat(descriptor).st_size
    return False
