"""A PostgreSQL of the tests' own: a private cluster, or the server that
HEADRACE_TEST_POSTGRESQL_URL names.

    with cluster() as server:                 # initdb and start: about a second; ended by its process id
        url = server.create("jobs")           # an empty database
        url = server.create("jobs2", template="jobs")
        server.drop("jobs2")

    with own() as made:                   # one that may be stopped and started: made.stop(), made.start()
        server = Server(made.url)

PostgreSQL refuses to run as root: then it runs as the user postgres. Nothing of it outlives the
process that started it, not even when that is killed.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from support.databases import TEMPORARY
from support.ports import port

GIVEN = "HEADRACE_TEST_POSTGRESQL_URL"
MISSING = "The tests need PostgreSQL: install the package postgresql, or set HEADRACE_TEST_POSTGRESQL_URL to a superuser's URL."
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # no test cuts the power
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "400",  # tests run side by side
    "log_min_messages": "fatal",
}
DURABLE = {**SETTINGS, "fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB"}
"""Those of the benchmarks: a commit that is answered is on the disk."""
USER = "postgres"
AS_USER = (
    sys.executable,
    "-ISc",
    f"""
import ctypes, os, pwd, sys
if os.geteuid() == 0:
    account = pwd.getpwnam({USER!r})
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
ctypes.CDLL(None).prctl(1, {int(signal.SIGINT)})  # PR_SET_PDEATHSIG: it ends with the thread that starts it
os.execv(sys.argv[1], sys.argv[1:])
""",
)
"""Runs a command as the user.

Not by preexec_fn or user=: that forks, and gRPC may be at work in this process.
"""


class Server:
    """A server that makes and drops databases."""

    def __init__(self, url: str) -> None:
        self._base = url.rpartition("/")[0]
        self._admin = psycopg.connect(url, autocommit=True)

    def create(self, name: str, *, template: str = "") -> str:
        """A database, and its URL.

        Without a template its language sorts otherwise than its bytes do.
        """
        options = sql.SQL("TEMPLATE {}").format(sql.Identifier(template))
        if not template:
            options = sql.SQL("TEMPLATE template0 ENCODING 'UTF8'")
            if self._admin.info.server_version >= 150000:
                options += sql.SQL(" LOCALE_PROVIDER icu ICU_LOCALE 'en'")
        self._admin.execute(sql.SQL("CREATE DATABASE {} ").format(sql.Identifier(name)) + options)
        return f"{self._base}/{name}"

    def drop(self, name: str) -> None:
        """Drop it, whoever is connected."""
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def terminate(self, database: str, purpose: str = "") -> int:
        """End the connections of a database whose application_name begins like this; answer how
        many there were.
        """
        ended = self._admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s",
            (database, f"{purpose}%"),
        ).fetchone()
        return int(ended[0]) if ended else 0

    def close(self) -> None:
        """Leave."""
        self._admin.close()


def binaries() -> Path | None:
    """Where the server's programs lie; None when there are none. Debian keeps them out of PATH."""
    in_path = shutil.which("initdb")
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3])
    )
    found = [path for path in (*versions[::-1], *([Path(in_path)] if in_path else [])) if path.exists()]
    return found[0].resolve().parent if found else None


@contextmanager
def cluster(given: str | None = None) -> Iterator[Server]:
    """A server for as long as the block lasts: the given one, or one of its own.

    Raises FileNotFoundError when there is none.
    """
    given = os.environ.get(GIVEN) or given
    with contextlib.nullcontext(given) if given else own() as made:
        server = Server(made if isinstance(made, str) else made.url)
        try:
            yield server
        finally:
            server.close()


class Cluster:
    """Data and programs of a server: it can be stopped, and started again on its data and its port."""

    def __init__(self, programs: Path, folder: Path, settings: Mapping[str, str] = SETTINGS) -> None:
        self._settings = settings
        self._programs = programs
        self._folder = folder
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(folder, account.pw_uid, account.pw_gid)
        options = ["-U", "headrace", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        _run([*AS_USER, programs / "initdb", "-D", folder / "data", *options], folder)
        self.port = port()
        self.url = f"postgresql://headrace@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections.

        On the main thread: it ends with the thread that starts it.
        """
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *AS_USER,
                    self._programs / "postgres",
                    "-D",
                    self._folder / "data",
                    f"--port={self.port}",
                    f"--unix_socket_directories={self._folder}",
                    *settings,
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        _wait(self._process, self._folder, self.port)

    def freeze(self, number: int = signal.SIGSTOP) -> None:
        """Stop all its processes where they are: it says nothing, and closes nothing."""
        if self._process is None:
            return
        pid = self._process.pid
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, below)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)

    def thaw(self) -> None:
        """Let it go on."""
        self.freeze(signal.SIGCONT)

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts clients off and shuts down in order, SIGQUIT leaves recovery to the
        next start.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def own(settings: Mapping[str, str] = SETTINGS) -> Iterator[Cluster]:
    """A cluster that has been started, for as long as the block lasts.

    Raises FileNotFoundError without the programs.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="headrace-postgresql-", dir=TEMPORARY))
    try:
        made = Cluster(programs, folder, settings)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")


def _wait(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    """Until it accepts connections."""
    ready = folder / "data" / "postmaster.pid"
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"postgres has ended: {(folder / 'log').read_text()}")
        lines = ready.read_text().split("\n") if ready.exists() else []
        # The eighth line says what it is doing.
        if len(lines) > 7 and lines[7].strip() == "ready" and lines[3] == str(port):
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
