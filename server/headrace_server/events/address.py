"""The URL of a broker: what it says, and what it leaves to us."""

import ssl
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import pika

HEARTBEAT: Final = 20
BLOCKED: Final = 30.0
CONNECT: Final = 5.0
"""Seconds. Each can be set in the URL."""


class BrokerRefused(Exception):
    """A URL that no broker can be reached by; the text is a sentence for the operator."""


def parameters(url: str, name: str) -> pika.URLParameters:
    """What a URL says, and what it leaves to us. Raises BrokerRefused.

    For amqps:// the broker's certificate is verified. cacertfile, certfile and keyfile in the query are those of
    RabbitMQ's own URI specification.
    """
    parts = urlsplit(url)
    said = parse_qs(parts.query)
    files = {key: said.pop(key)[-1] for key in ("cacertfile", "certfile", "keyfile") if key in said}
    try:
        given = pika.URLParameters(urlunsplit(parts._replace(query=urlencode(said, doseq=True))))
        if parts.scheme == "amqps" and "ssl_options" not in said:
            context = ssl.create_default_context(cafile=files.get("cacertfile"))
            if "certfile" in files:
                context.load_cert_chain(files["certfile"], files.get("keyfile"))
            given.ssl_options = pika.SSLOptions(context, parts.hostname)
    except (ValueError, OSError) as error:
        about = f" ({', '.join(f'{name} {path}' for name, path in files.items())})" if files else ""
        raise BrokerRefused(f"amqp_url cannot be used: {error}{about}.") from None
    if "heartbeat" not in said:
        given.heartbeat = HEARTBEAT
    if "blocked_connection_timeout" not in said:
        given.blocked_connection_timeout = BLOCKED
    if "socket_timeout" not in said:
        given.socket_timeout = CONNECT
    if "stack_timeout" not in said:
        given.stack_timeout = 2 * CONNECT
    given.client_properties = {"connection_name": name}
    return given
