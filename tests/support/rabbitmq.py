"""A RabbitMQ of the tests' own: one private node in the foreground, that can be stopped, killed and
started again.

    with own() as broker:                 # about six seconds; ended by its process ids, its epmd too
        with broker.vhost() as url:       # a virtual host of one's own: some milliseconds
            ...
        broker.kill()                     # SIGKILL of the whole node
        broker.start()                    # on the same data and port

    Node(*broker.address)                 # the same for another process, which can neither stop nor start it

Its node name, ports, data, log, cookie and epmd are its own, and all listen on loopback only: it
disturbs no other broker of the machine. It runs as whoever runs the tests. Nothing of it outlives
the process that started it.
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
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

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
NO_BUSY_WAIT = "+sbwt none +sbwtdcpu none +sbwtdio none"
"""Erlang's idle schedulers spin before they sleep. Beside busy processes on few processors that
costs them their turns: one rabbitmqctl takes 25 s instead of 2.
"""
KEEPER = (sys.executable, str(Path(__file__).with_name("keeper.py")))
"""Runs a command that ends, with all that it has started, when the thread that started it does."""


class Address(NamedTuple):
    """Where a node is: its files, and the ports on which it, its cluster port and its epmd listen."""

    folder: str
    name: str
    port: int
    distribution: int
    names: int


class Node:
    """A node that somebody has started."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._folder = Path(address.folder)
        self.port = address.port
        self.node = address.name
        self.url = self.url_of("/")
        """That of the virtual host in use: "/", or that of the innermost `vhost` block."""
        self._environment = {
            **os.environ,
            "HOME": address.folder,  # the cookie's place
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(address.names),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(address.port),
            "RABBITMQ_DIST_PORT": str(address.distribution),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{NO_BUSY_WAIT} -rabbit disk_free_limit 1000000 -kernel inet_dist_use_interface {{127,0,0,1}}",
            "RABBITMQ_CTL_ERL_ARGS": NO_BUSY_WAIT,
            "detached": "1",  # the script becomes the node, instead of waiting for it
        }

    @property
    def running(self) -> bool:
        """Whether it accepts connections."""
        return _listens(self.port)

    def serve(self) -> None:
        """Wait until it serves. Raises RuntimeError when it does not."""
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self.port):
            if not self._may_come() or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ did not start ({self._state}).")
            time.sleep(0.05)
        self.ctl("await_startup")

    def ctl(self, *arguments: str) -> str:
        """What a rabbitmqctl command prints: a third of a second each.

        Raises RuntimeError with its words if it fails.
        """
        return self._output([str(PROGRAMS / "rabbitmqctl"), "-q", *arguments])

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """A virtual host for as long as the block lasts, and its URL: exchanges and queues of
        others are not in it.
        """
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
        """The memory alarm is on for as long as the block lasts: the broker blocks whoever
        publishes.
        """
        self.ctl("set_vm_memory_high_watermark", "0")
        try:
            yield
        finally:
            if self.running:  # else it comes up without the alarm
                self.ctl("set_vm_memory_high_watermark", WATERMARK)

    def close_connections(self, reason: str = "a test") -> None:
        """Have the broker close every connection to the virtual host in use, by its management
        command.
        """
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
        # A name of its own: else all calls have the same, and the node refuses the second of two at
        # once.
        caller = f"call-{secrets.token_hex(4)}"
        command = ["erl_call", "-h", caller, "-n", self.node, "-c", cookie, "-e"]
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
        return f"the node has printed: {self.log[-4000:]}"

    def _may_come(self) -> bool:
        return True


class Broker(Node):
    """A node of one's own: its data and its programs.

    It is started and stopped on the main thread: it ends with its starter.
    """

    def __init__(self, folder: Path, epmd: str) -> None:
        name = f"headrace-{secrets.token_hex(8)}@localhost"
        super().__init__(Address(str(folder), name, port(), port(), port()))
        self._epmd = epmd
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def running(self) -> bool:
        """Whether the node lives."""
        node = self._processes.get("node")
        return node is not None and node.poll() is None

    def launch(self) -> None:
        """Start it, and wait for nothing: serve() does."""
        if "epmd" not in self._processes:
            self._start("epmd", self._epmd)
        self._start("node", str(PROGRAMS / "rabbitmq-server"))

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.launch()
        self.serve()

    def stop(self) -> None:
        """End the node in order: what is durable is on disk, clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node as a crash does.

        What was declared is on disk then: RabbitMQ answers a declaration before it writes it, and
        a crash in that moment loses the queue with its confirmed messages.
        """
        self._evaluate("mnesia:sync_log()")
        self._end(signal.SIGUSR1)

    def close(self) -> None:
        """End all of it."""
        for name in ("node", "epmd"):
            self._end(signal.SIGUSR1, name)

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """The same; a node that is down is started for it: what one test could not mend is not the
        next one's trouble.
        """
        if not self.running:
            self.start()
        with super().vhost() as url:
            yield url

    @property
    def _state(self) -> str:
        ends = {name: process.poll() for name, process in self._processes.items()}
        return f"exit codes: {ends}; {super()._state}"

    def _may_come(self) -> bool:
        return self.running

    def _start(self, name: str, program: str) -> None:
        with (self._folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [*KEEPER, program],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._folder,
            )

    def _end(self, how: int, name: str = "node") -> None:
        """End a program and all that it has started. SIGUSR1 is its keeper's word for SIGKILL."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)
            process.wait()


@contextmanager
def own(*, ready: bool = True) -> Iterator[Broker]:
    """A node that has been started, for as long as the block lasts; not waited for unless it is to
    be ready.

    Raises FileNotFoundError without the programs.
    """
    epmd = shutil.which("epmd")
    if epmd is None or not (PROGRAMS / "rabbitmq-server").exists():
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="headrace-rabbitmq-", dir=TEMPORARY))
    try:
        made = Broker(folder, epmd)
        try:
            made.launch()
            if ready:
                made.serve()
            yield made
        finally:
            made.close()
    finally:
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
