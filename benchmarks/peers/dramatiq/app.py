"""Dramatiq on RabbitMQ with confirms; messages are persistent and acknowledged after their actor
has run.
"""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.peers import commands

dramatiq.set_broker(RabbitmqBroker(url=commands.SERVICE, confirm_delivery=True))


@dramatiq.actor
def noop() -> None:
    """Note the time."""
    commands.clock.note()


def run() -> None:
    """Send one, and wait until it has run: RabbitMQ holds no results."""
    before = commands.clock.runs().count
    noop.send()
    commands.wait_for_run(before)


VERBS = {"submits": commands.submits(noop.send), "lone": commands.lone(run)}
