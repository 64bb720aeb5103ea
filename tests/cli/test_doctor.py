"""`headrace doctor`: each trouble is planted for real, found, and told in a sentence with the way
out.
"""

import contextlib
import hashlib
import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.console import SCRIPT, Script, environment
from cli.doctor import Doctor, of, troubles

from headrace_server.doctor import Level, clock
from headrace_server.store.opening import migrate
from support.server import TESTS, Server

pytestmark = pytest.mark.slow

TEMPORARY = [one for one in ("/tmp", "/var/tmp", "/usr/tmp") if Path(one).is_dir()]  # noqa: S108 - Python's own list


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """The doctor of a new set-up."""
    return Doctor(tmp_path)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, with what is in it."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        for file in folder.rglob("*")
    }


@contextlib.contextmanager
def listener() -> Iterator[str]:
    """The address of somebody who listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_sound_set_up(doctor: Doctor) -> None:
    """Where nothing is wrong every line is ok or a warning, plain when piped, and nothing is left
    on disk.
    """
    lines = doctor.script(*doctor.words(jobs="support.jobs", workers="1")).splitlines()
    subjects = [line.split("  ", 1)[1].lstrip().partition(":")[0] for line in lines]
    assert subjects == ["database", "lock", "schema", "jobs", "workers", "descriptors", "temporary files", "workspace",
                        "clock", "address"]  # fmt: skip
    assert all(line.startswith(("ok ", "warning ")) for line in lines)
    assert "\x1b" not in "".join(lines)
    assert "support.jobs has test.async, test.class" in lines[3]
    assert not contents(doctor.folder)


def test_colours_on_a_terminal(doctor: Doctor) -> None:
    """On a terminal the levels are coloured."""
    command = shlex.join([*SCRIPT, *doctor.words()])
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        env=dict(doctor.script.environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "\x1b[32mok" in shown
    assert "None are wanted" in shown


def test_beside_its_server(doctor: Doctor, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A set-up that is running is well: who holds the lock and who answers are the same; for
    another it is taken.
    """
    with Server(doctor.folder, workers=1) as server:
        running = {"database_url": str(server.settings["database_url"]), "address": server.target}
        found = doctor.finds(0, **running)
        assert f"Process {server.process.pid} on {socket.gethostname()} serves" in of(found, "lock")[1]
        assert of(found, "schema")[1].startswith("The tables are those of this version")
        assert of(found, "address")[1].endswith("this set-up is running.")
        other = Doctor(tmp_path_factory.mktemp("other")).finds(1, address=server.target)
        level, text = of(other, "address")
        assert level == "problem"
        assert "Headrace 0" in text
        assert "serves another database: give another --address" in text


def test_after_a_killed_server(doctor: Doctor) -> None:
    """What a killed server left is looked at as it is, its log too: no byte changes (failure case
    1).
    """
    url = f"sqlite:///{doctor.folder}/jobs.db"
    server = Server(doctor.folder, workers=1, database_url=url).start()
    try:
        with server.client() as client:
            client.submit("test.noop").wait(30)
        server.kill()
        server.gone()
        before = contents(doctor.folder)
        assert "jobs.db-wal" in before
        found = doctor.finds(0)
        assert of(found, "lock") == ("ok", "No server serves this database.")
        assert of(found, "integrity")[0] == "ok"
        after = contents(doctor.folder)
        assert {**after, "jobs.db-shm": ""} == {**before, "jobs.db-shm": ""}
    finally:
        server.close()


def test_what_still_holds_the_lock(doctor: Doctor) -> None:
    """A lock whose holder has ended, but not what it started, is a warning that names the dead."""
    url = f"sqlite:///{doctor.folder}/jobs.db"
    code = (
        "import os, subprocess, sys; from headrace_server.store import StoreLock; "
        f"lock = StoreLock.take({url!r}); "
        "print(subprocess.Popen(['sleep', '600'], pass_fds=lock.fds, stdout=2).pid)"
    )
    taken = subprocess.run([*SCRIPT[:2], code], stdout=subprocess.PIPE, text=True, check=True)
    try:
        level, text = of(
            doctor.finds(
                0,
            ),
            "lock",
        )
        assert level == "warning"
        assert "has ended, but processes that it started still hold the lock" in text
    finally:
        os.kill(int(taken.stdout), signal.SIGKILL)


def test_a_database_behind_a_link(doctor: Doctor) -> None:
    """Behind a link the doctor looks at the file itself, its log included; one with a hard link is
    a problem.
    """
    file, link = doctor.folder / "file.db", doctor.folder / "jobs.db"
    link.symlink_to(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        with connection:
            connection.execute("CREATE TABLE alembic_version (version_num)")
            connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        assert "schema 9999" in of(doctor.finds(1), "schema")[1]
    file.with_name("hard.db").hardlink_to(file)
    level, text = of(doctor.finds(1), "database")
    assert level == "problem"
    assert "has 2 names (hard links)" in text


def test_a_schema_that_is_older_and_one_that_is_newer(doctor: Doctor) -> None:
    """An older schema is to be upgraded; one from the future is a problem that names both versions
    (acceptance 89).
    """
    database = doctor.folder / "jobs.db"
    sqlite3.connect(database).close()
    sqlite3.connect(database).execute("CREATE TABLE other (x)").connection.close()
    found = doctor.finds(0)
    assert "no tables: the server, or `headrace db upgrade`" in of(found, "schema")[1]
    migrate.upgrade(f"sqlite:///{database}")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    level, text = of(doctor.finds(1), "schema")
    assert level == "problem"
    assert "written by a newer Headrace (schema 9999" in text


def test_a_damaged_file(doctor: Doctor) -> None:
    """A file with bytes overwritten, or that is no database at all, is a problem that says what to
    do.
    """
    database = doctor.folder / "jobs.db"
    migrate.upgrade(f"sqlite:///{database}")
    with database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 6))
    found = doctor.finds(1)
    assert any(
        finding["level"] == "problem" and ("damaged" in finding["text"] or "malformed" in finding["text"])
        for finding in found
    ), found
    database.write_text("these are not the bytes of a database, but a good many of them\n" * 99)
    found = doctor.finds(1)
    assert "file is not a database" in next(f["text"] for f in found if f["level"] == "problem")


def test_what_cannot_be_written(doctor: Doctor) -> None:
    """Read-only folders, a file in a folder's place, a missing folder: each is told with its cause."""
    folder = doctor.folder
    (folder / "data").mkdir()
    (folder / "file").touch()
    found = doctor.finds(
        1, before=f"mount -t tmpfs -o ro tmpfs {folder}/data",
        database_url=f"sqlite:///{folder}/data/jobs.db", workspace=f"{folder}/file/deep",
    )  # fmt: skip
    assert of(found, "database")[1] == (
        f"{folder}/data cannot be written (Read-only file system): change that for the user who runs the server. "
        "Or give another --database-url."
    )
    assert f"{folder}/file is a file where a folder should be" in of(found, "workspace")[1]


def test_a_full_disk(doctor: Doctor) -> None:
    """Disks without room are a problem for the database, and for the workspaces (failure case 9)."""
    folder = doctor.folder
    (folder / "small").mkdir()
    (folder / "full").mkdir()
    found = doctor.finds(
        1, database_url=f"sqlite:///{folder}/small/jobs.db", workspace=f"{folder}/full",
        before=f"mount -t tmpfs -o size=1m tmpfs {folder}/small; mount -t tmpfs -o size=1m tmpfs {folder}/full; "
               f"dd if=/dev/zero of={folder}/full/file bs=64k 2>/dev/null || true",
    )  # fmt: skip
    level, text = of(found, "database")
    assert level == "problem"
    assert "too little to work with: make room there" in text
    level, text = of(found, "workspace")
    assert level == "problem"
    assert "cannot be written (No space left on device)" in text


def test_modules_port_and_limits(doctor: Doctor) -> None:
    """A module that fails names its line, a taken port and too few descriptors their remedies
    (failure case 27).
    """
    (doctor.folder / "broken_jobs.py").write_text("\n\nraise RuntimeError('no licence')\n")
    doctor.script = Script(environment(PYTHONPATH=f"{TESTS}:{doctor.folder}"))
    with listener() as taken:
        found = doctor.finds(
            1, before="ulimit -n 60", jobs="support.jobs,broken_jobs,support.nowhere,support.values",
            address=taken, workers="40",
        )  # fmt: skip
    jobs = {finding["text"].split()[0]: finding for finding in found if finding["subject"] == "jobs"}
    assert [finding["level"] for finding in jobs.values()] == ["ok", "problem", "problem", "warning"]
    assert (
        f"does not load (RuntimeError: no licence, {doctor.folder}/broken_jobs.py line 3)"
        in jobs["broken_jobs"]["text"]
    )
    assert "No module named 'support.nowhere'" in jobs["support.nowhere"]["text"]
    level, text = of(found, "descriptors")
    assert level == "problem"
    assert "60 files, too few for 40 workers: raise it to 640 or more (ulimit -n, LimitNOFILE)" in text
    level, text = of(found, "address")
    assert level == "problem"
    assert f"{taken} cannot be listened on (Address already in use), and no Headrace answers there" in text


def test_a_module_that_ends_its_process(doctor: Doctor) -> None:
    """A module that ends whoever imports it is found among those that do not, and those are told
    too (failure case 27).
    """
    (doctor.folder / "deadly_jobs.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    doctor.script = Script(environment(PYTHONPATH=f"{TESTS}:{doctor.folder}"))
    missing = f"sqlite:///{doctor.folder}/missing/jobs.db"
    found = doctor.finds(1, jobs="support.jobs,deadly_jobs", database_url=missing)
    assert f"{doctor.folder}/missing does not exist: make it" in of(found, "database")[1]
    said = {finding["text"].split()[0]: finding for finding in found if finding["subject"] == "jobs"}
    assert [finding["level"] for finding in said.values()] == ["ok", "problem"]
    assert said["deadly_jobs"]["text"].startswith(
        "deadly_jobs is left out, and its jobs are refused. The process that imports it was killed by signal 11 (SIGSEGV)"
    )


def test_installed_modules(doctor: Doctor) -> None:
    """What entry points name is told with the package that names it, and what a module bends is a
    warning (acceptance 85).
    """
    store = doctor.folder / "store"
    store.mkdir()
    (store / "__init__.py").touch()
    (store / "orders.py").write_text(
        "import socket\nfrom headrace.jobs import job\nsocket.setdefaulttimeout(9)\n@job('store.write.commit_order')\ndef order(ctx): ..."
    )
    info = doctor.folder / "store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headrace.jobs]\nmine = store\nodd = nowhere_at_all\n")
    doctor.script = Script(environment(PYTHONPATH=f"{TESTS}:{doctor.folder}"))
    found = json.loads(doctor.script(*doctor.words(), "--entry-points", "-o", "json", code=1))
    said = [(one["level"], one["text"]) for one in found if one["subject"] == "jobs"]
    assert (
        "ok",
        "store (entry point 'mine' of my-store) is a package; its modules have store.write.commit_order.",
    ) in said
    assert ("ok", "store.orders has store.write.commit_order.") in said
    assert (
        "warning",
        "store.orders sets the default timeout of sockets to 9.0 s: its workers run with that.",
    ) in said
    (level, text) = next(one for one in said if one[1].startswith("nowhere_at_all"))
    assert level == "problem"
    assert "(entry point 'odd' of my-store) does not load" in text
    assert not list(doctor.folder.rglob("__pycache__"))


def test_no_temporary_directory(doctor: Doctor) -> None:
    """A temporary directory that is not there is a warning; none at all is a problem, and no worker
    can start.
    """
    gone = str(doctor.folder / "gone")
    found = doctor.finds(0, before=f"export TMPDIR={gone}")
    assert of(found, "temporary files")[1].startswith(f"{gone} cannot be written, so ")
    read_only = "".join(f"mount --bind {one} {one}; mount -o remount,bind,ro {one}; " for one in TEMPORARY)
    found = doctor.finds(1, before=f"{read_only}unset TMPDIR; cd /proc", workers="1")
    assert {"workers", "temporary files"} <= set(troubles(found))
    assert "No usable temporary directory found in" in of(found, "temporary files")[1]


def test_bad_settings_are_usage(doctor: Doctor) -> None:
    """A setting that cannot be used is one line and exit code 2, as for serve."""
    assert "workers" in doctor.script.error(*doctor.words(workers="-1"), code=2)


@pytest.mark.parametrize(
    ("now", "drift", "level", "said"),
    [
        (0.0, 0.0, Level.PROBLEM, "1970-01-01"),
        (clock.LATEST, 0.0, Level.PROBLEM, "2100-01-01"),
        (clock.EARLIEST, 0.0, Level.OK, "goes evenly"),
        (clock.EARLIEST, -3600.0, Level.WARNING, "moved by -3600.00 s"),
    ],
)
def test_the_clock(now: float, drift: float, level: Level, said: str) -> None:
    """A year that cannot be, or a jump against the steady clock, is told; a machine's own clock is
    not ours to set.
    """
    found = clock.assess(now, drift)
    assert found.level is level
    assert said in found.text
