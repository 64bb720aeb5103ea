"""Whose files are removed: only what Headrace has made and can prove, never through a link or a
mount.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from work.pool_support import fact, workshop

from headrace_server.config import Settings
from headrace_server.work.linux import workspace
from headrace_server.work.linux.instance_directory import InstanceDirectory
from headrace_server.work.linux.workspace_root import WorkspaceRefused, trouble


def contents(folder: Path) -> dict[str, str]:
    """What is in a folder, to the last leaf: kind and mode, and of files and links what they hold."""
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mode:o} "
        + (str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of somebody's that must stay as it is."""
    folder = tmp_path / "precious"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "thesis").write_text("years")
    (folder / "sub").chmod(0o751)
    (folder / "notes").write_text("more")
    folder.chmod(0o755)
    return folder


def test_a_folder_with_other_things(precious: Path) -> None:
    """A folder that was there before keeps its mode and every file; the server's own folder in it
    is private, and goes.
    """
    before, mode = contents(precious), precious.stat().st_mode
    home = InstanceDirectory.take(precious)
    workspace.make(workspace.path_of(home.path, "job-1", 1))
    assert home.path.parent == precious
    assert home.path.stat().st_mode & 0o777 == 0o700
    home.release()
    assert contents(precious) == before
    assert precious.stat().st_mode == mode


def test_what_a_dead_server_left(precious: Path) -> None:
    """The home of a dead server is removed by the next, with workspaces and half-removed ones; the
    home of one that lives stays.
    """
    before = contents(precious)
    dead = InstanceDirectory.take(precious)
    deep = dead.path / "job-0-1" / "a" / "b"
    deep.mkdir(parents=True)
    (dead.path / "job-0-2.bin" / "3" / "c").mkdir(parents=True)
    (deep / "file").write_text("x")
    (deep / "link").symlink_to(precious)
    duplicate = os.dup(dead.fd)  # its supervisor's
    os.close(dead.fd)
    InstanceDirectory.take(precious).release()
    assert (deep / "file").exists()
    os.close(duplicate)
    InstanceDirectory.take(precious).release()
    assert contents(precious) == before
    os.close(dead._root)


def like_a_home(place: Path) -> None:
    """A folder that has the name, and somebody's things."""
    place.mkdir()
    (place / "file").write_text("mine")


def with_a_lock(place: Path) -> None:
    """A folder with a lock beside it, as other programs have them."""
    like_a_home(place)
    Path(f"{place}.lock").touch()


def with_another_mark(place: Path) -> None:
    """A folder whose mark says something else."""
    like_a_home(place)
    (place / ".headrace").write_text("notes about headraces")


def with_a_mark_that_is_a_link(place: Path) -> None:
    """A folder whose mark is a link to a real one."""
    like_a_home(place)
    real = InstanceDirectory.take(place.parent.parent / "other")
    (place / ".headrace").symlink_to(real.path / ".headrace")
    os.close(real.fd)
    os.close(real._root)


def a_link_to_a_home(place: Path) -> None:
    """A link to a real home of a dead server elsewhere."""
    real = InstanceDirectory.take(place.parent.parent / "other")
    (real.path / "file").write_text("mine")
    place.symlink_to(real.path)
    os.close(real.fd)
    os.close(real._root)


def a_file(place: Path) -> None:
    """A file that has the name."""
    place.write_text("mine")


@pytest.mark.parametrize(
    "make",
    [like_a_home, with_a_lock, with_another_mark, with_a_mark_that_is_a_link, a_link_to_a_home, a_file],
)
def test_what_cannot_be_proved_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What only looks like a home of a dead server stays as it is."""
    root = tmp_path / "root"
    root.mkdir()
    make(root / "headrace-4711-c0ffee")
    before = contents(tmp_path)
    InstanceDirectory.take(root).release()
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_another_stays(tmp_path: Path) -> None:
    """A folder with the right name and mark that belongs to another user stays, and a root that
    does is refused by name.
    """
    planted = InstanceDirectory.take(tmp_path)
    os.close(planted.fd)
    os.close(planted._root)
    os.chown(planted.path, 12345, 12345)
    before = contents(tmp_path)
    InstanceDirectory.take(tmp_path).release()
    assert contents(tmp_path) == before
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(WorkspaceRefused, match=f"{tmp_path} for workspaces belongs to user 12345, not to 0"):
        InstanceDirectory.take(tmp_path)
    assert "belongs to user 12345" in trouble(tmp_path)


async def test_a_link_in_the_place_of_a_workspace(tmp_path: Path, precious: Path) -> None:
    """Wherever a job puts a link, what it leads to stays, and the link goes: at the job's end, at
    its worker's death.
    """
    before = contents(precious)
    async with workshop(tmp_path) as shop:
        for how in [f"{place} {end}" for place in ("instead", "bin", "below") for end in ("returns", "dies")]:
            lost = len(shop.recorder.of("lost"))
            key = shop.send("replace_workspace", target=precious, how=how)
            if how.endswith("dies"):
                await shop.recorder.lost(lost + 1)
                await shop.recorder.ready(lost + 2)
            else:
                assert (await shop.recorder.outcome(key)).error is None
            left = workspace.path_of(tmp_path / "workspaces", key.job_id, 1)
            await fact(
                lambda left=left: not os.path.lexists(left) and not os.path.lexists(f"{left}.bin"), how
            )
            assert contents(precious) == before


def test_a_link_that_a_dead_server_left(tmp_path: Path, precious: Path) -> None:
    """Links in the home of a dead server go at the next start, in the place of workspaces and bins
    too; what they lead to stays.
    """
    before = contents(precious)
    dead = InstanceDirectory.take(tmp_path / "root")
    for name in ("job-1-1", "job-1-1.bin", "job-2-1.bin", "job-3-1"):
        (dead.path / name).symlink_to(precious)
    (dead.path / "job-4-1").mkdir()
    (dead.path / "job-4-1" / "link").symlink_to(precious)
    os.close(dead.fd)
    os.close(dead._root)
    InstanceDirectory.take(tmp_path / "root").release()
    assert not list((tmp_path / "root").iterdir())
    assert contents(precious) == before


MOUNTED = """
import os, subprocess, sys
from pathlib import Path
from headrace_server.work.linux import workspace
folder, precious = map(Path, sys.argv[1:])
def mount(place):
    subprocess.run(["mount", "--bind", precious, place], check=True)
for number, below in enumerate((".", "a", "a/b/c")):
    path = folder / f"job-{number}"
    (path / below).mkdir(parents=True)
    mount(path / below)
    assert not workspace.remove(path)
(folder / "job-3").mkdir()
(folder / "job-3" / "file").touch()
subprocess.run(["mount", "--bind", precious / "notes", folder / "job-3" / "file"], check=True)
assert not workspace.remove(folder / "job-3")
"""


def test_a_mount_in_a_workspace(tmp_path: Path, precious: Path) -> None:
    """Where a job has mounted something in its workspace, or on it, the mount and what it shows
    stay as they are.
    """
    before, mode = contents(precious), precious.stat().st_mode
    (tmp_path / "home").mkdir()
    run = ["unshare", "--mount", sys.executable, "-c", MOUNTED, tmp_path / "home", precious]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr or "mount: " in done.stderr:
        pytest.skip("this user may not mount")
    assert done.returncode == 0, done.stderr
    assert contents(precious) == before
    assert precious.stat().st_mode == mode


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from headrace_server.work.linux import workspace
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.chown(".", 12345, 12345)
    os.setgroups(())
    os.setgid(12345)
    os.setuid(12345)
for mode in (0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600):
    path = Path(f"job-{mode}")
    workspace.make(path)
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "file").touch()
    for each in (path / "a" / "b", path / "a", path):
        each.chmod(mode)
    assert workspace.remove(path), oct(mode)
"""


def test_folders_without_rights(tmp_path: Path) -> None:
    """Folders that a job has made unreadable, unwritable or impassable are removed, by a user
    without privileges too.
    """
    subprocess.run([sys.executable, "-c", UNPRIVILEGED, tmp_path], check=True)
    assert not list(tmp_path.iterdir())


def link(place: Path, target: Path) -> None:
    """A link to somebody's folder."""
    place.symlink_to(target)


def file(place: Path, _target: Path) -> None:
    """A file."""
    place.touch()


def a_loop(place: Path, _target: Path) -> None:
    """A link to itself."""
    place.symlink_to(place)


def writable(place: Path, _target: Path) -> None:
    """A folder into which everybody may write."""
    place.mkdir()
    place.chmod(0o777)


def foreign(place: Path, _target: Path) -> None:
    """A folder that belongs to another."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    place.mkdir()
    os.chown(place, 12345, 12345)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("plant", [link, file, writable, foreign])
def test_the_folder_of_temporary_files(
    tmp_path: Path, precious: Path, plant: Callable[[Path, Path], None], depth: int
) -> None:
    """Where everybody may write, a folder that another has made beforehand is refused in a
    sentence, and nothing is touched.
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    root = temporary / "headrace-0" / "jobs.db"
    place = (root.parent, root)[depth]
    if depth:
        root.parent.mkdir(mode=0o700)
    plant(place, precious)
    before = contents(tmp_path)
    with pytest.raises(WorkspaceRefused, match=rf"The folder {place} for workspaces .*--workspace"):
        InstanceDirectory.take(root, below=temporary)
    assert str(place) in trouble(root, below=temporary)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("plant", [link, file])
def test_a_home_that_a_job_has_replaced(
    tmp_path: Path, precious: Path, plant: Callable[[Path, Path], None]
) -> None:
    """Where a job has put a link or a file in the place of the home, the next workspace is made all
    the same, and what it leads to stays.
    """
    before = contents(precious)
    home = InstanceDirectory.take(tmp_path / "root")
    home.path.rename(tmp_path / "moved")
    plant(home.path, precious)
    path = workspace.path_of(home.path, "job-1", 1)
    assert not workspace.remove(path)
    workspace.make(path)
    assert path.stat().st_mode & 0o777 == 0o700
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert workspace.remove(path)
    home.path.rmdir()
    plant(home.path, precious)
    home.release()
    assert not list((tmp_path / "root").iterdir())
    assert contents(precious) == before


@pytest.mark.parametrize("plant", [link, file, a_loop])
def test_a_root_that_is_no_folder(
    tmp_path: Path, precious: Path, plant: Callable[[Path, Path], None]
) -> None:
    """A root that is no folder, or lies below one that is none, is refused in a sentence, and
    stays.
    """
    place = tmp_path / "place"
    plant(place, precious / "nothing")
    before = contents(tmp_path)
    for root in (place, place / "below") if plant is not link else (place,):
        with pytest.raises(WorkspaceRefused, match=rf"{root} for workspaces is no folder, or .*--workspace"):
            InstanceDirectory.take(root)
    assert contents(tmp_path) == before


def test_a_root_that_is_left_empty() -> None:
    """A setting without a value is the folder in the temporary directory, not the one that somebody
    stands in.
    """
    assert Settings(workspace="").workspace_root() == Settings().workspace_root()


def test_the_first_start(tmp_path: Path) -> None:
    """Where nothing is there yet, the folders are made for this user alone, and the home is locked."""
    root = tmp_path / "headrace-0" / "jobs.db"
    assert trouble(root, below=tmp_path) == ""
    home = InstanceDirectory.take(root, below=tmp_path)
    assert [path.stat().st_mode & 0o777 for path in (root.parent, root, home.path)] == [0o700] * 3
    other = os.open(home.path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    home.release()
    assert not list(root.iterdir())
