"""The server's standard streams: closed, read by nobody, or written to by a peer."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from support.jobs import __file__ as jobs_file
from support.ports import port
from support.server import Server, until

pytestmark = pytest.mark.slow


def started(folder: Path, closed: Sequence[int] = (), **how: Any) -> tuple["subprocess.Popen[bytes]", str]:
    """A server with some of its standard streams closed, and its address."""
    address = f"127.0.0.1:{port()}"
    command = ["-m", "headrace_server", "serve"]
    flags = ["--workers", "1", "--log-level", "debug", "--jobs", "support.jobs", "--no-entry-points"]
    flags += [
        "--address",
        address,
        "--database-url",
        f"sqlite:///{folder}/jobs.db",
        "--workspace",
        str(folder / "ws"),
    ]
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            f'exec "$@" {" ".join(f"{fd}>&-" for fd in closed)}',
            "sh",
            sys.executable,
            *command,
            *flags,
        ],
        env={**os.environ, "PYTHONPATH": str(Path(jobs_file).parent.parent)},
        **how,
    )
    return process, address


def listens(address: str) -> bool:
    """Whether somebody does."""
    host, number = address.rsplit(":", 1)
    with contextlib.suppress(OSError), socket.create_connection((host, int(number)), timeout=10):
        return True
    return False


@pytest.mark.parametrize("closed", [[2], [0, 1, 2]], ids=str)
def test_streams_that_are_closed(tmp_path: Path, closed: list[int]) -> None:
    """A server that is started with standard streams closed runs jobs, and no file of its own is in
    their place.
    """
    process, address = started(tmp_path, closed)
    try:
        until(lambda: listens(address), "the server listens")
        with Client(address) as client:
            assert client.submit("test.echo", {"n": 1}).result(30) == {"n": 1}
        places = {fd: str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) for fd in closed}
        assert all(place == "/dev/null" or place.startswith("pipe:") for place in places.values()), places
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_stderr_that_nobody_reads(tmp_path: Path) -> None:
    """While nobody reads standard error every call is answered and jobs run, it stays as it was
    inherited, and the server can end.
    """
    process, address = started(tmp_path, stderr=subprocess.PIPE, pipesize=4096)
    try:
        assert process.stderr
        until(lambda: listens(address), "the server listens")
        with Client(address) as client:
            for number in range(20):
                assert client.submit("test.echo", {"n": number}).result(30) == {"n": number}
            assert client.server_info().counters["log_lines_dropped_total"] == 0  # they wait
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read(4096).count(b"\n") > 5
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def goaway(target: str, debug: bytes) -> None:
    """Be a peer that says in HTTP/2 that it goes away, and why, in its own words."""
    host, number = target.rsplit(":", 1)

    def frame(kind: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, 0, 0) + payload

    with socket.create_connection((host, int(number)), timeout=10) as peer:
        said = frame(7, struct.pack(">II", 0, 11) + debug)
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, b"") + said)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass


def test_what_a_peer_says_makes_no_line(server: Server) -> None:
    """The debug text of a GOAWAY, which gRPC's C code prints raw, is in records of the log with
    every odd character escaped.
    """
    goaway(server.target, b'x\n{"event": "all is well"}\r\x1b[2J')
    until(lambda: server.logged('{"event": "all is well"}\r\x1b[2J'), "the peer's words, in a record")
    assert not [entry for entry in server.log if entry["level"] == "raw" or entry["event"] == "all is well"]
