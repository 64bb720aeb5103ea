"""TLS to the broker: verified, or not used at all."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from events.conftest import Bench

from support.broadcasts import message
from support.listening import Listening, exchange
from support.server import Server, until

pytestmark = pytest.mark.slow


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of localhost that signs itself; its key is beside it."""
    made = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@pytest.fixture
def secured(rabbitmq: str, certificate: Path) -> Iterator[str]:
    """The broker behind TLS: its URL, without what makes its certificate known."""
    parts = urlsplit(rabbitmq)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                ends.append(plain)
                plain.settimeout(10)
                with suppress(OSError):
                    inner = context.wrap_socket(plain, server_side=True)
                    inner.settimeout(None)
                    outer = socket.create_connection((parts.hostname, parts.port))
                    ends.extend((inner, outer))
                    for pair in ((inner, outer), (outer, inner)):
                        threads.append(threading.Thread(target=pump, args=pair))
                        threads[-1].start()

    listener = socket.create_server(("127.0.0.1", 0))
    threads.append(threading.Thread(target=serve))
    threads[0].start()
    yield parts._replace(
        scheme="amqps", netloc=f"{parts.username}:{parts.password}@localhost:{listener.getsockname()[1]}"
    ).geturl()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
    for thread in threads:
        thread.join()


def test_a_certificate_is_verified(bench: Bench, folder: Path, secured: str, certificate: Path) -> None:
    """Events go over TLS to a broker whose certificate the URL makes known, and to none whose
    certificate is unknown.
    """
    queue = bench.queue("all", "job.#")
    server = Server(folder, amqp_url=secured)
    with server, server.client() as client:
        client.submit("test.noop", hold=True)
        until(lambda: server.logged("certificate verify failed"), "the log says so")
        assert client.server_info().counters["events_connected"] == 0
    server.settings["amqp_url"] = f"{secured}?cacertfile={certificate}"
    with server:
        assert bench.take(queue, 1)[0].headers["ce-status"] == "PENDING"


def test_a_consumer_takes_the_same_url(rabbitmq: str, secured: str, certificate: Path) -> None:
    """A consumer verifies by the same URL as the server: the environment of both may be one."""
    with exchange(rabbitmq) as made, Listening(f"{secured}?cacertfile={certificate}") as listening:
        made.publish(message("a", 1))
        assert listening.waits_for(1) == [("a", 1)]
