"""Reading the URL of a broker node, and filling in what the URL leaves open.

Both the consumer and the server use it. It needs pika.
"""

import ssl
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import pika

__all__ = ["CONNECT", "HEARTBEAT", "node"]

HEARTBEAT: Final = 20
CONNECT: Final = 5.0
"""Seconds. Each can be set in the URL."""


def node(url: str, name: str) -> pika.URLParameters:
    """How to connect. Raises ValueError, in a sentence, for what cannot be used.

    name: what the connection is called in the broker's own lists. For amqps:// the broker's
    certificate is verified; cacertfile, certfile and keyfile in the query are those of RabbitMQ's
    own URI specification.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise ValueError("It is amqp://USER:PASSWORD@HOST/VHOST, or amqps://.")
    said = parse_qs(parts.query)
    files = {key: said.pop(key)[-1] for key in ("cacertfile", "certfile", "keyfile") if key in said}
    try:
        read = pika.URLParameters(urlunsplit(parts._replace(query=urlencode(said, doseq=True))))
        if parts.scheme == "amqps" and "ssl_options" not in said:
            read.ssl_options = pika.SSLOptions(_context(**files), parts.hostname)
    except (ValueError, TypeError, OSError) as error:
        named = "".join(f", {key} {path}" for key, path in files.items())
        raise ValueError(f"It cannot be used: {error}{named}.") from error
    if "heartbeat" not in said:
        read.heartbeat = HEARTBEAT
    if "socket_timeout" not in said:
        read.socket_timeout = CONNECT
    if "stack_timeout" not in said:
        read.stack_timeout = 2 * CONNECT
    read.client_properties = {"connection_name": name}
    return read


def _context(
    cacertfile: str | None = None, certfile: str | None = None, keyfile: str | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cacertfile)
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile)
    return context
