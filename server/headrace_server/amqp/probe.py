"""A look at a broker that changes nothing."""

from typing import NamedTuple
from urllib.parse import urlsplit

import pika
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from headrace_server.amqp.broker import NOT_FOUND
from headrace_server.amqp.url import parameters


class Seen(NamedTuple):
    """The findings of a probe: product and version, and whether the exchange is there."""

    place: str
    product: str
    exchange: bool


class Unusable(Exception):
    """The broker cannot be used as it is named; the text is the cause and the way out."""


def probe(url: str, exchange: str) -> Seen:
    """Ask one node of a broker. Raises Unusable, BrokerRefused."""
    given = parameters(url, "headrace doctor")
    user = urlsplit(url).username or "guest"
    place = f"{given.host}:{given.port}"
    try:
        connection = pika.BlockingConnection(given)
    except ProbableAuthenticationError:
        raise Unusable(f"{place} does not know the user {user!r} with this password") from None
    except ProbableAccessDeniedError:
        raise Unusable(f"{place} has no virtual host {given.virtual_host!r} for the user {user!r}") from None
    except (AMQPError, OSError) as error:
        raise Unusable(f"{place} cannot be reached ({str(error) or type(error).__name__})") from None
    try:
        said = getattr(connection, "_impl").server_properties or {}  # noqa: B009 - pika has no other way to it
        product = " ".join(_text(said.get(name, "")) for name in ("product", "version"))
        return Seen(place, product, _is_there(connection, exchange, place))
    finally:
        connection.close()


def _is_there(connection: pika.BlockingConnection, exchange: str, place: str) -> bool:
    try:
        connection.channel().exchange_declare(exchange, exchange_type="topic", passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND:
            return False
        raise Unusable(f"{place} refuses the exchange {exchange!r} ({error.reply_text})") from None
    return True


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
