"""A private RabbitMQ: a node name, ports, directories and an epmd of its own, on loopback, ended by its ids."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
START_SECONDS = 60.0


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A broker for the length of the block; its AMQP URL."""
    if not (PROGRAMS / "rabbitmq-server").exists() or not (epmd := shutil.which("epmd")):
        raise SystemExit("RabbitMQ is missing: apt-get install --no-install-recommends rabbitmq-server.")
    port, distribution, names = _free_ports(3)
    environment = {
        **os.environ,
        "HOME": str(folder),  # the cookie's place
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"bench-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
    }
    with (folder / "rabbitmq.log").open("wb") as log:
        started = [
            subprocess.Popen(program, env=environment, stdout=log, stderr=log, start_new_session=True)
            for program in ((epmd,), (PROGRAMS / "rabbitmq-server",))
        ]
    try:
        _await(port)
        subprocess.run(
            [PROGRAMS / "rabbitmqctl", "await_startup"], env=environment, check=True, capture_output=True
        )
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGKILL)  # nothing of it is kept
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


def _await(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"RabbitMQ did not listen within {START_SECONDS:g} s.")
