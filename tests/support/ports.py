"""Ports that are free, and stay free while nobody listens on them.

Asked for port 0 the kernel gives one of those that it also gives to connections: while a server
that had it is down, a connection takes it, at the likeliest that of a client who tries to reach
that very server and is connected to itself. The server then cannot start again. These lie below the
kernel's range, and each worker of a run has a share of them: two that found the same one free would
both use it.
"""

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 20000
SHARES = 16
_given: set[int] = set()


def port() -> int:
    """One that nobody has, or is given by chance; not one that this process was given before: its
    listener may be to come.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    size = (end - LOWEST) // SHARES
    # xdist's word for the worker: gw0, gw1 …; whoever starts the workers has the last share.
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) % SHARES
    while True:
        if len(_given) > size // 2:
            _given.clear()  # whoever was given the first of them listens by now, or never will
        chosen = LOWEST + share * size + secrets.randbelow(size)
        if chosen in _given:
            continue
        with suppress(OSError):
            socket.create_server(("127.0.0.1", chosen)).close()
            _given.add(chosen)
            return chosen
