"""Check folders: whether they can be written, their file systems, and how much room they have."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headrace_server.config import Settings
from headrace_server.doctor.finding import Finding, ok, problem, warning
from headrace_server.store import NETWORK_FILESYSTEMS, file_system
from headrace_server.work.linux import workspace_root
from headrace_server.work.linux.disk import nearest

_MIB = 1 << 20
_ROOM_MIN = 64 * _MIB
"""Less is a problem: SQLite's log alone may take as much between two checkpoints."""
_ROOM_LOW = 1024 * _MIB


def look(settings: Settings) -> Iterator[Finding]:
    """Check where jobs write: the temporary directory, and their private directories."""
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        yield problem(
            "temporary files", f"{error.strerror}: make one of them writable, or name one in TMPDIR."
        )
        return
    yield _temporary(temporary)
    workspace = settings.workspace_root()
    if not_ours := workspace_root.trouble(workspace, below=settings.workspace_below()):
        yield problem("workspace", not_ours)
    elif refused := trouble(workspace):
        yield problem("workspace", f"{refused} Or give another folder with --workspace.")
    else:
        least, low = settings.min_free_disk_mib * _MIB, settings.warn_free_disk_mib * _MIB
        yield room("workspace", workspace, least=least, low=low)


def _temporary(folder: Path) -> Finding:
    kind = file_system(folder)
    named = os.environ.get("TMPDIR")
    if named and Path(named).absolute() != folder:
        return warning(
            "temporary files", f"{named} cannot be written, so {folder} is used: name another one in TMPDIR."
        )
    if kind in NETWORK_FILESYSTEMS:
        return warning(
            "temporary files",
            f"{folder} lies on a network file system ({kind}), which is slow: name a local one in TMPDIR.",
        )
    return ok("temporary files", f"{folder} can be written ({kind or 'file system unknown'}).")


def trouble(folder: Path) -> str:
    """Return a sentence that says why nothing can be written there, or "".

    A folder that is not there yet would be made.
    """
    place = folder.absolute()
    try:
        place = nearest(place)
        if not place.is_dir():
            return f"{place} is a file where a folder should be: move it away."
        with tempfile.NamedTemporaryFile(dir=place, prefix=".headrace-doctor-") as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        return f"{place} cannot be written ({error.strerror}): change that for the user who runs the server."
    return ""


def room(subject: str, folder: Path, *, least: int = _ROOM_MIN, low: int = _ROOM_LOW) -> Finding:
    """Check how much room the file system of a folder has.

    Fewer free bytes than `least` are a problem, fewer than `low` a warning.
    """
    usage = shutil.disk_usage(nearest(folder.absolute()))
    free = f"{folder} can be written and has {usage.free // _MIB:,} MiB free"
    if usage.free < least:
        return problem(subject, f"{free}, too little to work with: make room there.")
    if usage.free < low or usage.free * 10 < usage.total:
        return warning(subject, f"{free} of {usage.total // _MIB:,}: make room before it is full.")
    return ok(subject, f"{free}.")
