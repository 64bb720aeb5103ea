"""One server for one database, whatever name leads to it: real files, links and mounts, real
processes.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from contract.test_lock import holder

from headrace_server.store import DatabaseInUse, StoreLock, StoreRefused
from headrace_server.store.opening import lock

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that nobody serves."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "jobs.db"


def url(path: Path) -> str:
    """The URL of a file."""
    return f"sqlite:///{path}"


def symlink(path: Path) -> Path:
    """Another name: a link to the file."""
    path.with_name("linked.db").symlink_to(path.name)
    return path.with_name("linked.db")


def chain(path: Path) -> Path:
    """Another name: a link to a link, in another folder."""
    other = path.parent.parent / "elsewhere"
    other.mkdir()
    (other / "chained.db").symlink_to(symlink(path))
    return other / "chained.db"


def folder(path: Path) -> Path:
    """Another name: the folder is a link."""
    path.parent.with_name("linked").symlink_to(path.parent)
    return path.parent.with_name("linked") / path.name


def dots(path: Path) -> Path:
    """Another name: a way round."""
    return path.parent / ".." / path.parent.name / path.name


def hard(path: Path) -> Path:
    """Another name: a hard link."""
    path.with_name("hard.db").hardlink_to(path)
    return path.with_name("hard.db")


def unlocked(path: Path) -> Path:
    """The same name, with the lock beside it removed."""
    Path(f"{path}.lock").unlink()
    return path


def swapped(path: Path) -> Path:
    """The same name, with another lock beside it."""
    Path(f"{path}.lock").rename(path.with_name("aside"))
    Path(f"{path}.lock").write_text("")
    return path


NAMES = [symlink, chain, folder, dots, hard, unlocked, swapped]


@pytest.mark.parametrize("name", NAMES)
def test_another_process_by_another_name(path: Path, name: Callable[[Path], Path]) -> None:
    """A served database is refused by whatever name, at once, naming the process that has it
    (failure case 11).
    """
    with holder(url(path)) as process:
        other = url(name(path))
        with pytest.raises(DatabaseInUse, match=f"process {process.pid} on "):
            StoreLock.take(other)
        found = lock.holder(other)
        assert found is not None
        assert (found.pid, found.alive) == (str(process.pid), True)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_process_by_another_name(path: Path, name: Callable[[Path], Path]) -> None:
    """A second lock in one process is refused by whatever name, and SQLite's own locks of the first
    stay: who looks at the file from outside takes no log away.
    """
    taken = StoreLock.take(url(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as served:
        served.execute("PRAGMA journal_mode=WAL")
        served.execute("CREATE TABLE one (x)")
        served.execute("BEGIN IMMEDIATE")
        served.execute("INSERT INTO one VALUES (1)")
        with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} on "):
            StoreLock.take(url(name(path)))
        look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT count(*) FROM one').fetchone()); c.close()"
        subprocess.run([sys.executable, "-c", look, path], check=True, stdout=subprocess.DEVNULL)
        assert Path(f"{path}-wal").exists()
        served.execute("COMMIT")
    taken.release()
    with closing(sqlite3.connect(path)) as after:
        assert after.execute("SELECT x FROM one").fetchall() == [(1,)]


def test_a_bind_mount(path: Path) -> None:
    """A served database that is mounted elsewhere as well is refused there, naming the process that
    has it.
    """
    other = path.parent.parent / "mounted.db"
    other.touch()
    take = "import sys; from headrace_server.store import StoreLock; StoreLock.take(sys.argv[1])"
    with holder(url(path)) as process:
        mounted = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            'mount --bind "$1" "$2" || exit 77; shift 2; exec "$@"',
            "sh",
        ]
        done = subprocess.run(
            [*mounted, path, other, sys.executable, "-c", take, url(other)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or "unshare failed" in done.stderr:
            pytest.skip("this user may not mount")
        assert f"in use by process {process.pid} on " in done.stderr


@pytest.mark.parametrize("name", [symlink, unlocked])
def test_what_a_dead_server_left_is_waited_for(path: Path, name: Callable[[Path], Path]) -> None:
    """While the supervisor of a killed server holds the database, the next server waits for it, by
    whatever name.
    """
    with holder(url(path), "shared") as process:
        other = url(name(path))
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(DatabaseInUse, match="has ended, but processes that it started still hold it"):
            StoreLock.take(other, wait=0.1)
        assert process.stdin
        process.stdin.close()
        StoreLock.take(other, wait=60).release()


def test_a_replaced_file_is_not_free(path: Path) -> None:
    """A file that was put in the place of a served one is not served by another beside it."""
    with holder(url(path)) as process:
        path.rename(path.with_name("aside"))
        path.touch()
        with pytest.raises(DatabaseInUse, match=f"process {process.pid} on "):
            StoreLock.take(url(path))


def test_a_file_replaced_at_the_start(path: Path) -> None:
    """A file replaced between the lock and the opening of the store is noticed."""
    taken = StoreLock.take(url(path))
    taken.verify()
    path.rename(path.with_name("aside"))
    path.touch()
    with pytest.raises(StoreRefused, match="was replaced while the server started"):
        taken.verify()
    taken.release()


def test_a_second_name_that_is_not_served(path: Path) -> None:
    """A database with two names is refused by both, in a sentence that says how to find the other;
    with one it is served again.
    """
    StoreLock.take(url(path)).release()
    other = hard(path)
    for each in (path, other):
        with pytest.raises(StoreRefused, match=r"has 2 names \(hard links\), .*\(find / -samefile"):
            StoreLock.take(url(each))
    other.unlink()
    StoreLock.take(url(path)).release()


def test_a_lock_that_is_a_link(path: Path) -> None:
    """A link in the place of the lock is refused, and what it leads to keeps every byte."""
    precious = path.with_name("precious")
    precious.write_text("all my work")
    Path(f"{path}.lock").symlink_to(precious)
    with pytest.raises(StoreRefused, match=r"jobs.db.lock is a symbolic link: remove it"):
        StoreLock.take(url(path))
    assert precious.read_text() == "all my work"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file(path: Path, make: Callable[[Path], None]) -> None:
    """A pipe or a folder in the place of the database is refused, and nothing waits for it."""
    make(path)
    with pytest.raises(StoreRefused, match=r"jobs.db (is no regular file|cannot be opened: Is a directory)"):
        StoreLock.take(url(path))


def test_a_restored_copy(path: Path) -> None:
    """The documented restore, a copy put in place with the server stopped, gives a database that is
    served: under the old lock, and as a new file.
    """
    taken = StoreLock.take(url(path))
    with closing(sqlite3.connect(path)) as served:
        served.execute("CREATE TABLE one (x)")
        served.execute("VACUUM INTO ?", (str(path.with_name("backup.db")),))
    taken.release()
    shutil.copy(path.with_name("backup.db"), path)
    again = StoreLock.take(url(path))
    again.verify()
    again.release()
    path.with_name("backup.db").rename(path)
    StoreLock.take(url(path)).release()
