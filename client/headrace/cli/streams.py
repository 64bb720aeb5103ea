"""The standard streams, so that no state of them decides how a command ends.

    stdout   data. What cannot be written is kept in mind and said once, at the end (`lost`, `spill`): a job that is
             followed is followed on, and its end decides the exit code.
    stderr   beside the data: what cannot be written is dropped.

A stream that is closed, full or left by its reader raises nothing in the middle of a command, and a
letter that an encoding lacks is escaped. Descriptors 0 to 2 are always open, so that no connection
takes the place of one.
"""

import io
import locale
import os
import sys
from typing import Any, TextIO

import typer

_OUT, _ERR = 1, 2
BROKEN_PIPE = 141
"""The exit code of a program that SIGPIPE ends, because the reader of stdout has gone."""
UNWRITTEN = 74
"""The exit code where the data could not be written: sysexits' EX_IOERR."""


class _Descriptor(io.RawIOBase):
    """Writes to a descriptor, and drops what cannot be written.

    lasting: after the first failure everything else is dropped too, so that the data has no hole.
    """

    def __init__(self, descriptor: int, *, lasting: bool) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lasting = lasting
        self.failure: OSError | None = None
        self.told = False
        """Whether the failure was said, and has its part in an exit code."""

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write some of the data."""
        if self.failure is None or not self._lasting:
            try:
                return os.write(self._descriptor, data)
            except OSError as error:
                self.failure = error
        return len(data)


_out = _Descriptor(_OUT, lasting=True)


def prepare() -> None:
    """Put streams that cannot fail in the place of the process's own."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except (
            OSError
        ):  # closed: opening takes the lowest that is free; to write to this stdout fails, as it should
            os.open(os.devnull, os.O_WRONLY if descriptor == _ERR else os.O_RDONLY)
    sys.stdout = _text(_out, sys.stdout)
    sys.stderr = _text(_Descriptor(_ERR, lasting=False), sys.stderr)


def _text(raw: _Descriptor, like: TextIO | None) -> TextIO:
    encoding = like.encoding if like is not None else locale.getencoding()
    live = raw.isatty() or raw.fileno() == _ERR
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=live)


def lost() -> bool:
    """Whether what is written as data reaches nobody any more."""
    return _out.failure is not None


def spill(code: int | None) -> int:
    """Write what is waiting, report once what could not be written, and return the exit code.

    `code` stands if there is one.
    """
    sys.stdout.flush()
    if _out.failure is None or _out.told:
        return code or 0
    _out.told = True
    gone = isinstance(_out.failure, BrokenPipeError)
    if not gone:
        typer.echo(f"headrace: stdout could not be written: {_out.failure.strerror}.", err=True)
    if code is not None:
        return code
    return BROKEN_PIPE if gone else UNWRITTEN


def fits(text: str) -> bool:
    """Whether the encoding of stdout has every letter of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
