"""Consumes a queue of RabbitMQ on a thread of its own.

Apart from address.py, this is the only module of the client that imports pika.

    broker ══ link thread: heartbeats, reconnecting, declaring ══▶ inbox ──▶ the thread that handles events
                                       ▲                                                  │
                                       └──────────── settle(delivery) ◀───────────────────┘

pika's connection belongs to one thread, and a broker cuts a connection that is silent for two
heartbeats: a handler that took longer on that thread would lose it, and get the same event again.
So the connection has this thread and the handler its caller's. Each connection puts `Connected`
into the inbox before its deliveries: what came before was delivered by a connection that is gone,
and the broker will deliver it again.
"""

import logging
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import pika
from pika import exceptions

from headrace._events.errors import BrokerRefused
from headrace.broker import node
from headrace.errors import InvalidArgument

TICK = 5.0
"""Seconds that the link looks at its connection without being woken, at most."""
BIND_AGAIN = 30.0
"""Seconds after which the bindings are declared again.

The exchange may have been deleted and created anew in the meantime.
"""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
CLOSING = 10.0
"""Seconds that close() waits for a broker that does not answer."""
_REFUSED = frozenset({402, 403, 405, 406, 530})
"""The reply codes of failures that do not pass by themselves.

They stand for a missing right, another exclusive owner, other arguments and an unknown virtual
host.
"""
_NOT_FOUND = 404

log = logging.getLogger("headrace.events")
if not logging.getLogger("pika").level:
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it reports as errors what is handled and told here


@dataclass(frozen=True, slots=True)
class Topology:
    """The objects that a consumer needs on the broker.

    All of them are declared, and they stay.
    """

    exchange: str
    queue: str
    keys: tuple[str, ...]
    arguments: Mapping[str, Any]
    """Of the queue: two declarations of it must agree in them."""


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """A message as it came, unacknowledged."""

    headers: Mapping[str, Any]
    content_type: str | None
    body: bytes
    channel: Any
    tag: int


class Connected:
    """From here on deliveries come by a new connection."""


Arrival = Delivery | Connected | Exception | None
"""The items of an inbox.

An exception ends the consumer; None only wakes it.
"""


def parameters(urls: str, name: str) -> list[pika.URLParameters]:
    """How to connect: each node in turn. Raises InvalidArgument for what is no AMQP URL.

    name: what the connection is called in the broker's own lists.
    """
    try:
        return [node(url.strip(), name) for url in urls.split(",")]
    except ValueError as error:
        raise InvalidArgument.of("url", str(error)) from error


class Link:
    """Keeps a queue consumed until it is closed, through lost connections."""

    def __init__(self, url: str, topology: Topology, prefetch: int, inbox: "SimpleQueue[Arrival]") -> None:
        self._parameters = parameters(url, f"headrace events, {topology.queue}")
        self._topology = topology
        self._prefetch = prefetch
        self._inbox = inbox
        self._settled: SimpleQueue[tuple[Delivery, bool]] = SimpleQueue()
        self._closing = threading.Event()
        self._connection: pika.BlockingConnection | None = None
        self._known = False
        """Whether the broker has ever let it consume."""
        self._thread = threading.Thread(
            target=self._run, name=f"headrace-events-{topology.queue}", daemon=True
        )

    def open(self) -> None:
        """Starts connecting, and returns."""
        self._thread.start()

    def settle(self, delivery: Delivery, *, handled: bool) -> None:
        """Acknowledges a delivery, or rejects it for good.

        Does nothing if its connection is gone.
        """
        self._settled.put((delivery, handled))
        self._wake()

    def close(self) -> None:
        """Sends what was settled and disconnects. The broker takes back the rest, in order."""
        self._closing.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(CLOSING)

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            with suppress(exceptions.AMQPError):  # it has just been lost
                connection.add_callback_threadsafe(lambda: None)

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._consume()
            except (exceptions.AMQPError, OSError) as error:
                if not self._known and _refusal(error):
                    self._inbox.put(
                        BrokerRefused(f"RabbitMQ refuses to serve {self._topology.queue}: {error!r}")
                    )
                    return
                failures = failures + 1 if time.monotonic() - began < LONGEST_PAUSE else 1
                pause = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE) * random.uniform(
                    0.5, 1
                )
                log.warning("No connection to RabbitMQ; next try in %.1f s: %r", pause, error)
                self._closing.wait(pause)
            except Exception as error:  # noqa: BLE001 - told where it can be seen
                self._inbox.put(error)
                return

    def _consume(self) -> None:
        """One connection, from its first byte to its last."""
        self._connection = connection = pika.BlockingConnection(self._parameters)
        try:
            channel = self._declared(connection)
            self._inbox.put(Connected())
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.basic_consume(self._topology.queue, self._received)
            self._known = True
            log.info("Consuming %s", self._topology.queue)
            self._serve(connection, channel)
        finally:
            self._connection = None
            if connection.is_open:
                with suppress(exceptions.AMQPError, OSError):
                    connection.close()

    def _serve(self, connection: pika.BlockingConnection, channel: Any) -> None:
        bound = time.monotonic()
        while not self._closing.is_set():
            connection.process_data_events(time_limit=TICK)
            self._send_settled(channel)
            if not channel.is_open or not channel.consumer_tags:
                raise exceptions.ConsumerCancelled  # the queue was deleted, or a delivery waited too long
            if time.monotonic() - bound > BIND_AGAIN:
                self._bind(channel)
                bound = time.monotonic()
        self._send_settled(channel)

    def _declared(self, connection: pika.BlockingConnection) -> Any:
        """Returns a channel on which everything is declared.

        An exchange that already exists needs no right to configure it.
        """
        channel = connection.channel()
        try:
            channel.exchange_declare(self._topology.exchange, passive=True)
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            channel = connection.channel()
            channel.exchange_declare(self._topology.exchange, exchange_type="topic", durable=True)
        channel.queue_declare(self._topology.queue, durable=True, arguments=dict(self._topology.arguments))
        self._bind(channel)
        return channel

    def _bind(self, channel: Any) -> None:
        for key in self._topology.keys:
            channel.queue_bind(self._topology.queue, self._topology.exchange, routing_key=key)

    def _received(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._inbox.put(
            Delivery(properties.headers or {}, properties.content_type, body, channel, method.delivery_tag)
        )

    def _send_settled(self, channel: Any) -> None:
        with suppress(Empty):
            while True:
                delivery, handled = self._settled.get_nowait()
                if delivery.channel is not channel:
                    continue
                if handled:
                    channel.basic_ack(delivery.tag)
                else:
                    channel.basic_reject(delivery.tag, requeue=False)


def _refusal(error: Exception) -> bool:
    """Whether the broker was reached and said no."""
    if isinstance(error, exceptions.ChannelClosed | exceptions.ConnectionClosed):
        return error.reply_code in _REFUSED
    return isinstance(
        error,
        exceptions.AuthenticationError
        | exceptions.ProbableAuthenticationError
        | exceptions.ProbableAccessDeniedError,
    )
