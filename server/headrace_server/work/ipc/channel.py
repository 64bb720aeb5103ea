"""Carry frames between the server and one process, over AF_UNIX SOCK_SEQPACKET.

One frame is one message, and arrives whole or not at all.

    up to 64 KiB     the frame itself
    longer           b"@" with a memfd (SCM_RIGHTS) that holds the frame

A message is given to one reader, however many hold the socket: that is what makes recall exact
(`pool.child_connection`). A short frame never begins with "@": the frames of `frames` are JSON
arrays.
"""

import os
import socket
from collections.abc import Sequence

INLINE_MAX = 64 * 1024
"""The most bytes of a frame that travels in the message itself.

That is well below the socket's send buffer (208 KiB).
"""

_BY_REFERENCE = b"@"
_FD_SIZE = 4
_FDS_MAX = 4


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, frame: bytes, flags: int = 0) -> None:
    """Send a frame.

    Raises BlockingIOError when there is no room and the flags or the socket say not to wait.
    """
    if len(frame) <= INLINE_MAX:
        sock.send(frame, flags)
        return
    memory = os.memfd_create("headrace-frame", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(frame)
        socket.send_fds(sock, [_BY_REFERENCE], [memory], flags)
    finally:
        os.close(memory)


class Receiver:
    """Takes frames from a socket, by way of one buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = memoryview(bytearray(INLINE_MAX))

    def frame(self, flags: int = 0) -> bytes:
        """The next frame; b"" when the other end is closed. Raises BlockingIOError as recv does."""
        frame, fds = self.message(flags)
        return _fetch(fds[0]) if frame == _BY_REFERENCE else frame

    def message(self, flags: int = 0) -> tuple[bytes, Sequence[int]]:
        """The next message, and the descriptors that came with it."""
        size, ancillary, _flags, _address = self._sock.recvmsg_into(
            (self._buffer,), socket.CMSG_SPACE(_FDS_MAX * _FD_SIZE), flags | socket.MSG_CMSG_CLOEXEC
        )
        fds: list[int] = []
        for _level, _type, data in ancillary:
            fds += memoryview(data)[: len(data) // _FD_SIZE * _FD_SIZE].cast("i")
        return self._buffer[:size].tobytes(), fds


def _fetch(memory: int) -> bytes:
    try:
        with open(memory, "rb", closefd=False) as file:
            file.seek(0)  # the sender's own position came with it
            return file.read()
    finally:
        os.close(memory)
