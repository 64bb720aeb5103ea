"""The URL of a broker's node, for one who publishes."""

from typing import Final

import pika

from headrace.broker import node

BLOCKED: Final = 30.0
"""The seconds that a broker may take nothing before its connection is given up.

The URL can set another value.
"""


class BrokerRefused(Exception):
    """A URL that no broker can be reached by; the text is a sentence for the operator."""


def parameters(url: str, name: str) -> pika.URLParameters:
    """Return how to connect.

    `name` is what the connection is called in the broker's own lists. Raises BrokerRefused.
    """
    try:
        given = node(url, name)
    except ValueError as error:
        raise BrokerRefused(f"amqp_url: {error}") from None
    if given.blocked_connection_timeout is None:
        given.blocked_connection_timeout = BLOCKED
    return given
