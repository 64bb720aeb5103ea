"""A link that can be cut: without a word, with a reset, or not quite."""

import contextlib
import socket
import struct
import threading
import time
from typing import Self

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset."""


class Relay:
    """Forwards connections to a target on a port of its own."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cut = threading.Event()
        self._refusing = False
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.delay = 0.0
        """Seconds that each piece takes, in each direction."""
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """From now on what is sent over the present connections is lost, and they stay open; later
        ones work.
        """
        self._cut.set()
        self._cut = threading.Event()

    def fall_silent(self) -> None:
        """Whatever is sent is lost, over later connections too, and all stay open: until the link
        heals.
        """
        self._cut.set()

    def reset(self) -> None:
        """End every connection at once, later ones too: until the link heals."""
        self._refusing = True
        self._end_all()

    def heal(self) -> None:
        """Later connections work. Those that have lost something end."""
        self._end_all()
        self._refusing = False
        self._cut = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for opened in self._sockets:
            opened.close()

    def _end_all(self) -> None:
        for opened in self._sockets[1:]:
            with contextlib.suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                opened.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self._refusing:
                    here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    here.close()
                    continue
                try:
                    there = socket.create_connection(self._to)
                except OSError:  # nobody is there
                    here.close()
                    continue
                self._sockets += [here, there]
                for source, sink in ((here, there), (there, here)):
                    thread = threading.Thread(target=self._pump, args=(source, sink, self._cut))
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, cut: threading.Event) -> None:
        end = socket.SHUT_RDWR  # a reset ends the other side too
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self.delay:
                    time.sleep(self.delay)
                if not cut.is_set():
                    sink.sendall(data)
            end = socket.SHUT_WR
        if not cut.is_set():
            with contextlib.suppress(OSError):
                sink.shutdown(end)
