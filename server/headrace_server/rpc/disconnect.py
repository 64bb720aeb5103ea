"""End one connection, for which gRPC has no call.

Its socket is found by its other end, and shut down.

gRPC sees that as what it is, a connection that is gone: it ends the calls, and frees what it held
for them.
"""

import ctypes
import logging
import os
import socket
import stat
from contextlib import closing, suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import unquote

log = logging.getLogger(__name__)


def cut(peer: str) -> bool:
    """End the connection whose other end has this name in gRPC.

    Returns False when there is none. It looks at every descriptor.
    """
    wanted = _end(*unquote(peer).partition(":")[2].rsplit(":", 1))
    for name in (entry.name for entry in Path("/proc/self/fd").iterdir()):
        with suppress(OSError, ValueError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with closing(
                socket.socket(fileno=os.dup(int(name)))
            ) as found:  # our own: it cannot become another's
                if (
                    found.family in (socket.AF_INET, socket.AF_INET6)
                    and _end(*found.getpeername()[:2]) == wanted
                ):
                    found.shutdown(socket.SHUT_RDWR)
                    log.warning("the connection from %s was cut: it has not read its answers", peer)
                    return True
    return False


def give_back() -> None:
    """Return freed memory to the machine: the C library would keep it for later."""
    with suppress(AttributeError):  # musl has none, and needs none
        ctypes.CDLL(None).malloc_trim(0)


def _end(host: str, port: str | int) -> tuple[object, int]:
    address = ip_address(host.strip("[]"))
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address, int(port)
