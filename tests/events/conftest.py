"""A server that broadcasts, and somebody who speaks AMQP with its broker."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ConnectionWrongStateError

from support.server import Server, until

EXCHANGE = "headrace.events"


class Got(NamedTuple):
    """A message."""

    key: str
    properties: pika.BasicProperties
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """Its headers."""
        return dict(self.properties.headers or {})


class Bench:
    """A channel to a broker, and what tests do with it."""

    def __init__(self, channel: BlockingChannel) -> None:
        self.channel = channel

    def queue(self, name: str, *keys: str, **arguments: Any) -> str:
        """A durable queue that is bound with these keys to the exchange, which is declared as the
        server does.
        """
        self.channel.exchange_declare(EXCHANGE, "topic", durable=True)
        self.channel.queue_declare(name, durable=True, arguments=arguments or None)
        for key in keys:
            self.channel.queue_bind(name, EXCHANGE, key)
        return name

    def take(self, queue: str, count: int) -> list[Got]:
        """So many messages of a queue."""
        got: list[Got] = []

        def more() -> bool:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is not None and properties is not None:
                got.append(Got(str(method.routing_key), properties, body or b""))
            return len(got) == count

        until(more, f"{count} messages are in {queue}")
        return got


@pytest.fixture
def bench(rabbitmq: str) -> Iterator[Bench]:
    """A channel to the broker of this test."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq))
    yield Bench(connection.channel())
    with suppress(ConnectionWrongStateError):
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server's files are."""
    made = tmp_path / "server"
    made.mkdir()
    return made


@pytest.fixture
def server(folder: Path, rabbitmq: str) -> Iterator[Server]:
    """A server that broadcasts to it, not started."""
    made = Server(folder, amqp_url=rabbitmq)
    yield made
    if made._process is not None:
        made.close()
