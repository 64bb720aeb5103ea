"""The RabbitMQ of the tests, for benchmarks: private, on loopback, ended by its ids."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pika

from benchmarks.serving import ROOT

sys.path.append(str(ROOT / "tests"))
from support.rabbitmq import Broker, own

EXCHANGE, QUEUE = "headrace.events", "benchmark"
POLL = 0.01


@contextmanager
def broker() -> Iterator[Broker]:
    """A broker for the length of the block."""
    try:
        with own() as made:
            yield made
    except FileNotFoundError as missing:
        raise SystemExit(str(missing)) from None


class Queue:
    """A durable queue that is bound to every event, and that nobody reads."""

    def __init__(self, url: str) -> None:
        self._url = url
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(QUEUE, durable=True)
            channel.queue_bind(QUEUE, EXCHANGE, "job.#")

    def counts(self) -> Iterator[tuple[float, int]]:
        """What a clock says, and how many messages are there: again and again."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while True:
                found = channel.queue_declare(QUEUE, passive=True).method.message_count
                yield time.perf_counter(), found
                time.sleep(POLL)

    def rate(self, count: int) -> float:
        """Messages a second, from the first that is seen to the last of so many."""
        first: tuple[float, int] | None = None
        for now, found in self.counts():
            if found and first is None:
                first = now, found
            if first and found >= count:
                return (found - first[1]) / (now - first[0])
        raise AssertionError("not reached")
