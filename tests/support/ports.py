"""Ports that are free, and stay free while nobody listens on them.

Asked for port 0 the kernel gives one of those that it also gives to connections: while a server that had it is down,
a connection takes it, at the likeliest that of a client who tries to reach that very server and is connected to
itself. The server then cannot start again. These lie below the kernel's range.
"""

import secrets
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 20000


def port() -> int:
    """One that nobody has, or is given by chance."""
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        chosen = LOWEST + secrets.randbelow(end - LOWEST)
        with suppress(OSError):
            socket.create_server(("127.0.0.1", chosen)).close()
            return chosen
