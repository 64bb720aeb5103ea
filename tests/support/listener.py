"""An independent consumer of broadcasts: plain pika, a durable queue bound to all of them, every
message kept.

    with Listener(url) as listener:
        …
        listener.hears_the_end_of(job_ids)      waits until the last event of each has come
        listener.messages

It knows nothing of the product but the name of the exchange. It acknowledges what it has kept, and
comes back by itself when its connection breaks: what it had not acknowledged comes again then, as
with any consumer.
"""

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Self

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from support.broadcast_judge import Message
from support.server import until

EXCHANGE = "headrace.events"
ALL = "job.#"
QUEUE = "listener"
STEP = 0.05
PREFETCH = 200
BREAKS = (pika.exceptions.AMQPError, OSError)
logging.getLogger("pika").setLevel(logging.CRITICAL)  # a broker that is away is none of its errors here


class Listener:
    """Keeps what comes, in its order.

    With paused=True it only has its queue, and the broker keeps what comes.
    """

    def __init__(self, url: str, *, exchange: str = EXCHANGE, key: str = ALL, paused: bool = False) -> None:
        self.messages: list[Message] = []
        self.ended: set[str] = set()
        """Jobs whose last event has come."""
        self.exchange = exchange
        self._url = url
        self._key = key
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener")
        self._paused = paused
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self.bind()
        if not self._paused:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def resume(self) -> None:
        """Take what the broker has kept, and what comes."""
        self._thread.start()

    def bind(self) -> None:
        """Declare exchange and queue, and bind them."""
        with channel_of(self._url) as channel:
            channel.exchange_declare(self.exchange, "topic", durable=True)
            channel.queue_declare(QUEUE, durable=True)
            channel.queue_bind(QUEUE, self.exchange, self._key)

    def unbind(self) -> None:
        """Delete the binding."""
        with channel_of(self._url) as channel:
            channel.queue_unbind(QUEUE, self.exchange, self._key)

    def delete_exchange(self) -> None:
        """Delete the exchange, with its bindings."""
        with channel_of(self._url) as channel:
            channel.exchange_delete(self.exchange)

    def waiting(self) -> int:
        """How many messages are in the queue."""
        with channel_of(self._url) as channel:
            return int(channel.queue_declare(QUEUE, passive=True).method.message_count)

    def hears_the_end_of(self, job_ids: Iterable[str], limit: float = 60) -> None:
        """Wait until the last event of each of these jobs has come."""
        wanted = set(job_ids)
        missing: list[str] = []

        def heard() -> bool:
            missing[:] = sorted(wanted - self.ended)
            return self._error is not None or not missing

        try:
            until(heard, "the ends of all jobs are heard", limit)
        except AssertionError as late:
            raise AssertionError(f"{late}; missing are {len(missing)}: {missing[:5]}") from None
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                with contextlib.suppress(*BREAKS), channel_of(self._url) as channel:
                    channel.basic_qos(prefetch_count=PREFETCH)
                    channel.basic_consume(QUEUE, partial(self._keep))
                    while not self._over.is_set():
                        channel.connection.process_data_events(STEP)
                self._over.wait(STEP)
        except BaseException as error:  # noqa: BLE001 - raised by hears_the_end_of
            self._error = error

    def _keep(self, channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        message = message_of(method.routing_key, properties, body, redelivered=method.redelivered)
        self.messages.append(message)
        if message.headers.get("ce-final"):
            self.ended.add(str(message.headers.get("ce-subject")))
        channel.basic_ack(method.delivery_tag)


def message_of(key: str, properties: pika.BasicProperties, body: bytes, *, redelivered: bool) -> Message:
    """A message as pika gives it."""
    given = {
        name: value for name, value in vars(properties).items() if value is not None and name != "headers"
    }
    return Message(key, given, dict(properties.headers or {}), body, redelivered)


@contextlib.contextmanager
def channel_of(url: str) -> Iterator[BlockingChannel]:
    """A channel of a connection for as long as the block lasts."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        with contextlib.suppress(*BREAKS):
            connection.close()
