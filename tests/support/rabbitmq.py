"""A RabbitMQ of the tests' own: one private node in the foreground, that can be stopped, killed and started again.

    with own() as broker:                 # about six seconds; ended by its process ids, its epmd too
        with broker.vhost() as url:       # a virtual host of one's own: some milliseconds
            ...
        broker.kill()                     # SIGKILL of the whole node
        broker.start()                    # on the same data and port

Its node name, ports, data, log, cookie and epmd are its own, and all listen on loopback only: it disturbs no other
broker of the machine. It runs as whoever runs the tests. Nothing of it outlives the process that started it.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.databases import TEMPORARY
from support.ports import port

GIVEN = "HEADRACE_TEST_AMQP_URL"
MISSING = "The tests need RabbitMQ: install the package rabbitmq-server, or set HEADRACE_TEST_AMQP_URL to a broker's URL."
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
"""Debian's; the wrappers in PATH insist on root or on the user rabbitmq."""
START_SECONDS = 60.0
STOP_SECONDS = 30.0
WATERMARK = "0.4"
"""The part of the machine's memory that the broker may use: its own default."""
MARK = "HEADRACE_TEST_BROKER"
ENDS_WITH_US = (
    sys.executable,
    "-ISc",
    f"import ctypes, os, sys; ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)}); os.execvp(sys.argv[1], sys.argv[1:])",
)
"""Runs a command that is killed when the thread that started it ends (PR_SET_PDEATHSIG)."""


class Broker:
    """A node: its data and its programs. It is started and stopped on the main thread: it ends with its starter."""

    def __init__(self, folder: Path, epmd: str) -> None:
        self._folder = folder
        self._epmd = epmd
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._mark = secrets.token_hex(8)
        self.port, distribution, names = port(), port(), port()
        self.node = f"headrace-{self._mark}@localhost"
        self.url = self.url_of("/")
        """That of the virtual host in use: "/", or that of the innermost `vhost` block."""
        self._environment = {
            **os.environ,
            MARK: self._mark,
            "HOME": str(folder),  # the cookie's place
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-rabbit disk_free_limit 1000000 -kernel inet_dist_use_interface {127,0,0,1}",
            "detached": "1",  # the script becomes the node, instead of waiting for it
        }

    @property
    def running(self) -> bool:
        """Whether the node lives."""
        node = self._processes.get("node")
        return node is not None and node.poll() is None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        if "epmd" not in self._processes:
            self._start("epmd", self._epmd)
        self._start("node", str(PROGRAMS / "rabbitmq-server"))
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self.port):
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ did not start ({self._state}).")
            time.sleep(0.05)
        self.ctl("await_startup")

    def stop(self) -> None:
        """End the node in order: what is durable is on disk, clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node as a crash does."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End all of it."""
        self.kill()
        if epmd := self._processes.pop("epmd", None):
            epmd.kill()
            epmd.wait()

    def ctl(self, *arguments: str) -> str:
        """What a rabbitmqctl command prints: a third of a second each. Raises RuntimeError with its words if it fails."""
        return self._output([str(PROGRAMS / "rabbitmqctl"), "-q", *arguments])

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """A virtual host for as long as the block lasts, and its URL: exchanges and queues of others are not in it.

        A node that is down is started for it: what one test could not mend is not the next one's trouble.
        """
        if not self.running:
            self.start()
        name = f"test-{secrets.token_hex(4)}"
        self._evaluate(
            f'rabbit_vhost:add(<<"{name}">>, <<"tests">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)'
        )
        before, self.url = self.url, self.url_of(name)
        try:
            yield self.url
        finally:
            self.url = before
            if self.running:
                self._evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>)')

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """The memory alarm is on for as long as the block lasts: the broker blocks whoever publishes."""
        self.ctl("set_vm_memory_high_watermark", "0")
        try:
            yield
        finally:
            if self.running:  # else it comes up without the alarm
                self.ctl("set_vm_memory_high_watermark", WATERMARK)

    def close_connections(self, reason: str = "a test") -> None:
        """Have the broker close every connection to the virtual host in use, by its management command."""
        self.ctl("close_all_connections", "-p", self._vhost, reason)

    def connections(self) -> list[dict[str, object]]:
        """Those of its clients: name, user, state and virtual host of each."""
        listed = self.ctl("list_connections", "name", "user", "state", "vhost", "--formatter=json")
        found: list[dict[str, object]] = json.loads(listed)
        return found

    def queues(self) -> dict[str, int]:
        """The queues of the virtual host in use, and how many messages each holds."""
        listed = json.loads(
            self.ctl("list_queues", "-p", self._vhost, "name", "messages", "--formatter=json")
        )
        return {queue["name"]: int(queue["messages"]) for queue in listed}

    def url_of(self, vhost: str) -> str:
        """The URL of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost.replace('/', '%2F')}"

    @property
    def _vhost(self) -> str:
        return self.url.rpartition("/")[2].replace("%2F", "/")

    @property
    def log(self) -> str:
        """What the node has printed."""
        printed = self._folder / "node.out"
        return printed.read_text(errors="replace") if printed.exists() else ""

    def _evaluate(self, expression: str) -> None:
        """Have the node evaluate Erlang: a hundred times as fast as rabbitmqctl."""
        cookie = (self._folder / ".erlang.cookie").read_text().strip()
        command = ["erl_call", "-n", self.node, "-c", cookie, "-e"]
        answer = self._output(command, f"{expression}, done.\n")
        if answer != "{ok, done}":
            raise RuntimeError(f"{expression} gave {answer}")

    def _output(self, command: list[str], text: str = "") -> str:
        done = subprocess.run(
            command, env=self._environment, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout} ({self._state})")
        return done.stdout

    @property
    def _state(self) -> str:
        """What a reader of a failure needs of the node and its epmd."""
        ends = {name: process.poll() for name, process in self._processes.items()}
        return f"exit codes: {ends}; the node has printed: {self.log[-4000:]}"

    def _start(self, name: str, program: str) -> None:
        with (self._folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [*ENDS_WITH_US, program],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._folder,
            )

    def _end(self, how: int) -> None:
        node = self._processes.pop("node", None)
        if node is None:
            return
        node.send_signal(how)
        try:
            node.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait()
        epmd = self._processes["epmd"].pid
        deadline = time.monotonic() + 1
        while left := [pid for pid in _marked(self._mark) if pid != epmd]:  # its helpers notice by themselves
            if time.monotonic() > deadline:
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


@contextmanager
def own() -> Iterator[Broker]:
    """A node that has been started, for as long as the block lasts. Raises FileNotFoundError without the programs."""
    epmd = shutil.which("epmd")
    if epmd is None or not (PROGRAMS / "rabbitmq-server").exists():
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="headrace-rabbitmq-", dir=TEMPORARY))
    try:
        made = Broker(folder, epmd)
        try:
            made.start()
            yield made
        finally:
            made.close()
    finally:
        shutil.rmtree(folder)


def _marked(mark: str) -> Iterator[int]:
    """The processes that have inherited the mark and have not ended."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes():
                    yield int(entry.name)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
