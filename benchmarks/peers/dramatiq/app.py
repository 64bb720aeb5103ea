"""Dramatiq on RabbitMQ with confirms; messages are persistent and acknowledged after their actor has run."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.peers import verbs

dramatiq.set_broker(RabbitmqBroker(url=verbs.SERVICE, confirm_delivery=True))


@dramatiq.actor
def noop() -> None:
    """Note the time."""
    verbs.clock.note()


def run() -> None:
    """Send one, and wait until it has run: RabbitMQ holds no results."""
    before = verbs.clock.runs().count
    noop.send()
    verbs.wait_for_run(before)


VERBS = {"submits": verbs.submits(noop.send), "lone": verbs.lone(run)}
