"""An EventConsumer that runs on a thread and keeps what it was shown; and messages put into its
exchange by hand.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pika
from pika.exceptions import UnroutableError
from pika.spec import BasicProperties

from headrace.events import EventConsumer
from headrace.info import JobEvent
from support.broadcasts import Message
from support.server import until

EXCHANGE = "headrace.events"


class Listening:
    """A consumer in the background. handle: what it does with an event before it is kept."""

    def __init__(
        self, url: str, *, queue: str = "listening", handle: Callable[[JobEvent], object] = id, **options: Any
    ) -> None:
        self.shown: list[JobEvent] = []
        """What its handler has returned from."""
        self._handle = handle
        self.consumer = EventConsumer(queue, self._show, url=url, **options)
        self.raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _show(self, event: JobEvent) -> None:
        self._handle(event)
        self.shown.append(event)

    def _run(self) -> None:
        try:
            self.consumer.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.raised = error

    @property
    def revisions(self) -> list[tuple[str, int]]:
        """Job and revision of what was shown."""
        return [(event.job_id, event.revision) for event in self.shown]

    def waits_for(self, count: int) -> list[tuple[str, int]]:
        """Wait until so many were shown; answers them."""
        until(lambda: len(self.shown) >= count, f"{count} events were shown")
        return self.revisions

    def start(self) -> Self:
        """Run it."""
        self._thread.start()
        return self

    def end(self) -> None:
        """Stop it, from this thread, and wait until it has returned."""
        self.consumer.stop()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the consumer runs on"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.end()
        if self.raised is not None:
            raise self.raised


class Exchange:
    """The exchange of events, by hand: what is published is on the broker's disk when it returns,
    and in a queue.
    """

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def publish(self, *messages: Message) -> None:
        """Publish, in this order. What no queue is bound for yet waits until one is."""
        for message in messages:
            until(lambda message=message: self._published(message), f"a queue takes {message.key}")

    def _published(self, message: Message) -> bool:
        properties = BasicProperties(
            content_type=message.content_type, delivery_mode=2, headers=message.headers
        )
        try:
            self.channel.basic_publish(EXCHANGE, message.key, message.body, properties, mandatory=True)
        except UnroutableError:
            return False
        return True

    def waiting(self, queue: str = "listening") -> int:
        """How many messages of a queue are not on their way to a consumer."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def purge(self, queue: str = "listening") -> None:
        """Lose what waits in a queue."""
        self.channel.queue_purge(queue)


@contextmanager
def exchange(url: str) -> Iterator[Exchange]:
    """A connection with the exchange declared as the server does."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        yield Exchange(channel)
