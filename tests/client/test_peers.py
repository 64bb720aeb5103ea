"""A peer that is not Headrace, and a proxy on the way, are said for what they are."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from client.scripted import Connect, ScriptedServer

from headrace import Client, errors
from headrace.v1 import admin_service_pb2 as pb

HTTP_400 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "no_grpc_proxy")


class Peer:
    """Something that listens, and answers each connection with the same bytes."""

    def __init__(self, answer: bytes, *, hang_up: bool) -> None:
        self._answer, self._hang_up = answer, hang_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.sendall(self._answer)
            if self._hang_up:
                connection.close()
            else:
                self._held.append(connection)

    def close(self) -> None:
        """End it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Makes peers."""
    peers: list[Peer] = []

    def make(answer: bytes, *, hang_up: bool = False) -> Peer:
        peers.append(Peer(answer, hang_up=hang_up))
        return peers[-1]

    yield make
    for one in peers:
        one.close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("answer", "hang_up", "said"),
    [
        (HTTP_400, False, "does not speak gRPC"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "does not speak gRPC"),
        (b"-ERR unknown command\r\n", False, "does not speak gRPC"),
        (b"", True, "hangs up at once"),
    ],
)
def test_a_peer_that_is_no_grpc_server(
    connect: Connect, peer: Callable[..., Peer], answer: bytes, hang_up: bool, said: str
) -> None:
    """The error names the address and what is wrong there, and does not advise to start another."""
    one = peer(answer, hang_up=hang_up)
    with pytest.raises(errors.Unavailable, match=said) as raised:
        connect(one.target, timeout=0.5).server_info()
    assert one.target in raised.value.message
    assert "headrace dev" not in raised.value.message


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:50551", "https://h", "grpc://h:1", "127.0.0.1:50551/v1", "h :1", "a\n"]
)
def test_what_is_no_target(target: str) -> None:
    """A URL, or what has a path or a space, is refused before any call, and told from what it
    should be.
    """
    with pytest.raises(errors.InvalidArgument, match="is no target: write host:port"):
        Client(target)


@pytest.mark.parametrize(
    "target", ["unix:/tmp/x", "unix:///tmp/x", "dns:///h:1", "ipv4:10.0.0.1:1,10.0.0.2:1", "[::1]:1", "h"]
)
def test_what_is_a_target(target: str) -> None:
    """The words that gRPC has for an address are taken."""
    Client(target).close()


def test_a_name_that_leads_nowhere(connect: Connect) -> None:
    """A name that has no address is given up as soon as an address where nobody is, and is named."""
    began = time.monotonic()
    with pytest.raises(
        errors.Unavailable, match=r"The name in :1 leads to no address; a target is host:port"
    ):
        connect(":1", timeout=600).server_info()
    assert time.monotonic() - began < 300  # not for as long as a server that was there


@pytest.mark.slow
def test_a_peer_that_says_nothing(connect: Connect, peer: Callable[..., Peer]) -> None:
    """It listens and is silent: a stuck server, or none of gRPC's."""
    with pytest.raises(errors.Unavailable, match="does not speak: it may be no gRPC server"):
        connect(peer(b"").target, timeout=10).server_info()


def test_a_proxy_is_not_asked_for_this_machine(
    connect: Connect, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls to loopback go past the proxy that the environment names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.on("GetServerInfo", pb.GetServerInfoResponse(version="7"))
    assert connect(server.target).server_info().version == "7"


def test_a_proxy_that_does_not_lead_there(
    connect: Connect, peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the proxy, without its password, and the way past it."""
    proxy = peer(HTTP_400).target
    monkeypatch.setenv("https_proxy", f"http://user:secret@{proxy}")
    with pytest.raises(errors.Unavailable, match="no_proxy") as raised:
        connect("192.0.2.1:50551", timeout=0.5).server_info()
    assert f"https_proxy=http://{proxy}" in raised.value.message
    assert "secret" not in raised.value.message
