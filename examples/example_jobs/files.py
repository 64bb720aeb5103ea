"""files.checksum: SHA-256 of every file of a directory tree. It needs nothing but Python."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from headrace.jobs import JobContext, job

_NAMED = 20
"""So many unreadable files are named; the rest are counted."""


@job("files.checksum")
def checksum(ctx: JobContext, path: str, passes: int = 1, skip: list[str] | None = None) -> str:
    """The SHA-256 of a directory tree: of the names and contents of its regular files, in order.

    One tick for each file and pass. Symbolic links are not followed. Files that cannot be read are
    counted, and named in a message. Folders with a name in skip are left out. More passes read
    everything again: they make the job as long as one wants.
    """
    root = Path(path)
    if not root.is_dir():
        ctx.fail("NOT_A_DIRECTORY", f"{path} is no directory on the machine of the worker")
    if passes < 1:
        ctx.fail("BAD_PASSES", f"passes is at least 1, not {passes}")
    with ctx.step("list"):
        files = sorted(_regular_files(root, skip or []))
    ctx.set_total(len(files) * passes)
    ctx.message("info", f"{len(files)} files in {path}")
    digest = ""
    for number in range(1, passes + 1):
        with ctx.step(f"pass {number}"):
            digest = _one_pass(ctx, root, files, first=number == 1)
    return digest


def _one_pass(ctx: JobContext, root: Path, files: list[Path], *, first: bool) -> str:
    """The digest of the tree; the first pass says what it met."""
    tree = hashlib.sha256()
    size = unreadable = 0
    for file in files:
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256")
                size += stream.tell()
        except OSError as error:
            unreadable += 1
            if first and unreadable <= _NAMED:
                ctx.message("warning", f"{file} cannot be read: {error.strerror}")
        else:
            tree.update(os.fsencode(file.relative_to(root)) + b"\0" + digest.digest())
        ctx.advance()
    if first:
        ctx.set_result("files", len(files) - unreadable)
        ctx.set_result("bytes", size)
        ctx.set_result("unreadable", unreadable)
    return tree.hexdigest()


def _regular_files(root: Path, skip: list[str]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in skip]
        for name in names:
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file
