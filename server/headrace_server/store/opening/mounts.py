"""On what a folder lies: locks and shared memory cannot be trusted on another machine's disk."""

from pathlib import Path
from typing import Final

from headrace_server.store.errors import NetworkFilesystem

NETWORK_FILESYSTEMS: Final = frozenset(
    {"afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb2", "smb3", "smbfs"}
)
"""The file systems on which locks cannot be trusted."""


def refuse_network(database: Path) -> None:
    """Raise NetworkFilesystem when the file lies on another machine's disk.

    The mount table tells where it lies.
    """
    kind = file_system(database.parent)
    if kind in NETWORK_FILESYSTEMS:
        raise NetworkFilesystem(
            f"The database {database} lies on a network file system ({kind}), where locks cannot be trusted: "
            "give a path on a local disk."
        )


def file_system(folder: Path) -> str:
    """Return the kind of file system on which a folder lies, from the mount table.

    The text is empty where there is no table.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""  # No mount table, no verdict.
    kinds: dict[str, str] = {}
    for mount in mounts:
        fields, _, kind = mount.partition(" - ")
        kinds[fields.split(" ")[4]] = kind.split(" ")[0]
    resolved = folder.resolve()
    places = (str(place).replace(" ", "\\040") for place in (resolved, *resolved.parents))
    return next((kinds[place] for place in places if kinds.get(place)), "")
