"""One server for one database: the lock, with real processes on the other side."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace_server.store import DatabaseInUse, NetworkFilesystem, StoreLock, StoreRefused
from headrace_server.store.opening import lock

HOLD = """
import subprocess, sys
from headrace_server.store import StoreLock
lock = StoreLock.take(sys.argv[1])
sweeper = subprocess.Popen(["cat"], stdin=sys.stdin, pass_fds=lock.fds if sys.argv[2:] else [])
print(sweeper.pid, flush=True)
sweeper.wait()
"""


@contextmanager
def holder(url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock; what it started (its sweeper) lives until our end of the pipe
    is closed.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, url, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdout.readline()
        yield process
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The URL of a database that nobody serves."""
    return f"sqlite:///{tmp_path}/jobs.db"


def test_a_second_server_is_refused(place: str) -> None:
    """While one process holds the lock another is refused at once, in a sentence that names pid and
    host.
    """
    with holder(place) as process:
        with pytest.raises(DatabaseInUse) as refused:
            StoreLock.take(place)
        assert f"process {process.pid} on {socket.gethostname()}" in str(refused.value)


def test_a_dead_holder_leaves_nothing(place: str) -> None:
    """The lock of a killed process is free, and is taken over with the new name inside."""
    with holder(place) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        taken = StoreLock.take(place)
        assert os.pread(taken.fds[0], 99, 0).decode() == f"{os.getpid()} {socket.gethostname()}\n"
        taken.release()


def test_a_dead_holders_supervisor_is_waited_for(place: str) -> None:
    """When the holder is dead and its supervisor still has the lock, the next server waits until
    that has ended.
    """
    with holder(place, "shared") as process:
        process.send_signal(signal.SIGKILL)
        # It is dead, and not reaped: it is still in the table of processes.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(DatabaseInUse, match="processes that it started still hold it"):
            StoreLock.take(place, wait=0.2)
        got: list[StoreLock] = []
        waiting = threading.Thread(target=lambda: got.append(StoreLock.take(place, wait=60)))
        waiting.start()
        assert process.stdin
        process.stdin.close()  # The sweeper reads the end and ends.
        waiting.join()
        got[0].release()


@pytest.mark.parametrize("share", [0, 1], ids=["beside", "database"])
def test_the_share_of_the_supervisor_outlives_release(place: str, share: int) -> None:
    """Releasing gives up one process's share only: while a duplicate of either lock is open the
    database is held.
    """
    taken = StoreLock.take(place)
    duplicate = os.dup(taken.fds[share])
    taken.release()
    with pytest.raises(DatabaseInUse):
        StoreLock.take(place, wait=0)
    os.close(duplicate)
    StoreLock.take(place).release()


def test_the_descriptors_are_not_inherited_by_themselves(place: str) -> None:
    """A process started without being given the descriptors does not hold the locks."""
    taken = StoreLock.take(place)
    assert [os.get_inheritable(fd) for fd in taken.fds] == [False, False]
    taken.release()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://db/jobs", "jobs.db"])
def test_only_a_file_can_be_served(url: str) -> None:
    """A URL that names no SQLite file is refused in a sentence that says what to give."""
    with pytest.raises(StoreRefused, match="give sqlite:///<path>"):
        StoreLock.take(url)


@pytest.mark.parametrize(
    "query", ["uri=true&a=1", "mode=memory&uri=true", "mode=ro", "nolock=1", "vfs=unix-none"]
)
def test_only_a_path_names_it(place: str, query: str) -> None:
    """Parameters of a SQLite URL are refused, naming them: with some another file would be opened
    than the one that is locked.
    """
    with pytest.raises(StoreRefused, match=rf"leave out of its URL .*{query.partition('=')[0]}"):
        StoreLock.take(f"{place}?{query}")
    with pytest.raises(StoreRefused, match="leave out of its URL"):
        lock.holder(f"{place}?{query}")


def test_a_path_with_a_nul_is_refused(place: str) -> None:
    """In a sentence."""
    with pytest.raises(StoreRefused, match="no path has a NUL"):
        StoreLock.take(f"{place}%00")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """A database in a directory that does not exist is refused, naming the path."""
    with pytest.raises(StoreRefused, match=r"missing/jobs.db cannot be opened: No such file"):
        StoreLock.take(f"sqlite:///{tmp_path}/missing/jobs.db")


def test_network_file_systems_are_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database on a file system of another machine is refused, naming the kind."""
    mounts = (
        "22 1 0:20 / / rw shared:1 - ext4 /dev/vda rw\n"
        f"23 22 0:21 / {Path(place.removeprefix('sqlite:///')).parent} rw - nfs4 server:/jobs rw\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda _path, **_how: mounts)
    with pytest.raises(NetworkFilesystem, match="nfs4"):
        lock.StoreLock.take(place)
