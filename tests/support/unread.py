"""A client that asks and does not read: its HTTP/2 gives the server no room beyond the first 64
KiB, and answers pings.

with NotReading(target) as client:
    client.ask("/headrace.v1.JobService/GetJob", request, times=500)
"""

import socket
import struct
import threading
from contextlib import suppress
from typing import Final, Self

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4


class NotReading:
    """One connection."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._lock = threading.Lock()
        self._next = 1
        self.cut = threading.Event()
        """The server has ended the connection."""
        self._send(PREFACE + _frame(SETTINGS, 0, 0, b""))
        self._thread = threading.Thread(target=self._answer_pings)
        self._thread.start()

    def ask(self, method: str, request: bytes, times: int = 1) -> None:
        """Call a method so many times, each on a stream of its own."""
        headers = b"".join(
            _literal(name, value)
            for name, value in {
                ":method": "POST",
                ":scheme": "http",
                ":path": method,
                ":authority": "localhost",
                "te": "trailers",
                "content-type": "application/grpc",
            }.items()
        )
        body = struct.pack(">BI", 0, len(request)) + request
        for _ in range(times):
            stream, self._next = self._next, self._next + 2
            self._send(_frame(HEADERS, END_HEADERS, stream, headers) + _frame(DATA, END_STREAM, stream, body))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it was cut
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._socket.sendall(data)

    def _answer_pings(self) -> None:
        read = self._socket.makefile("rb")
        with suppress(OSError), read:
            while head := read.read(9):
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                body = read.read(length)
                if kind in (SETTINGS, PING) and not flags & ACK:
                    self._send(_frame(kind, ACK, 0, body if kind == PING else b""))
        self.cut.set()


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def _literal(name: str, value: str) -> bytes:
    """A header without compression."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))
