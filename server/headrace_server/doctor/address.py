"""The address: free, or who answers there."""

import socket
from collections.abc import Iterator

from headrace import Client
from headrace.errors import HeadraceError
from headrace_server.config import Settings
from headrace_server.doctor.finding import Finding, ok, problem
from headrace_server.store import StoreRefused, holder
from headrace_server.store.opening.inspect_postgresql import inspect_postgresql

PORT_MAX = 65_535
ANSWER_MAX = 2.0
"""Seconds for the program that listens at the address to say what it is."""


def look(settings: Settings) -> Iterator[Finding]:
    """Whether a server could listen there, or already does."""
    host, _, port = settings.address.rpartition(":")
    if port == "0":
        yield ok("address", "Port 0 takes a free one.")
        return
    if int(port) > PORT_MAX:
        yield problem("address", f"{port} is no port: give one up to {PORT_MAX} in --address.")
        return
    refusal = _refusal(host.strip("[]"), int(port))
    if refusal is None:
        yield ok("address", f"{settings.address} is free.")
    else:
        yield _taken(settings, refusal)


def _refusal(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def _taken(settings: Settings, refusal: OSError) -> Finding:
    address = settings.address
    try:
        with Client(address, timeout=ANSWER_MAX, reconnect_timeout=0) as client:
            info = client.server_info()
    except HeadraceError:
        return problem(
            "address",
            f"{address} cannot be listened on ({refusal.strerror}), and no Headrace answers there: end what uses it, or give another --address.",
        )
    said = f"Headrace {info.version} answers at {address} (instance {info.instance})"
    if _serves(info.instance, settings):
        return ok("address", f"{said}: this set-up is running.")
    return problem("address", f"{said}, and serves another database: give another --address, or end it.")


def _serves(instance: str, settings: Settings) -> bool:
    """Return whether an instance belongs to the database of these settings."""
    try:
        if settings.shared:
            return instance in dict(inspect_postgresql(settings.database_url).live)
        held = holder(settings.database_url)
    except StoreRefused:
        return False
    # <host>-<pid>-<random>: see App.
    return held is not None and instance.rsplit("-", 2)[-2:-1] == [held.pid]
