"""The broker that tests break: it keeps what is durable, tells virtual hosts apart and alarms when
told.
"""

import pika
import pika.exceptions
import pytest

from support.rabbitmq import Broker
from support.server import until

pytestmark = pytest.mark.slow
DURABLE = pika.BasicProperties(delivery_mode=2)


def test_a_killed_node_comes_back_with_what_was_confirmed(own_rabbitmq: Broker) -> None:
    """A persistent message that was confirmed is there after SIGKILL and start."""
    with pika.BlockingConnection(pika.URLParameters(own_rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"1", DURABLE, mandatory=True)
        own_rabbitmq.kill()
        with pytest.raises(pika.exceptions.AMQPError):
            connection.channel()
    assert not own_rabbitmq.running
    own_rabbitmq.start()
    until(lambda: own_rabbitmq.queues() == {"kept": 1}, "the queue is there with its message")


def test_a_virtual_host_is_a_tests_own(rabbitmq: str, own_rabbitmq: Broker) -> None:
    """What is declared in one virtual host is not in another, and goes with it."""
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
        connection.channel().queue_declare("here", exclusive=True)
        assert own_rabbitmq.queues() == {}
        with own_rabbitmq.vhost():
            assert own_rabbitmq.queues() == {}


def test_the_alarm_blocks_who_publishes_until_it_is_cleared(own_rabbitmq: Broker) -> None:
    """Under a memory alarm the broker says that it is blocked, and afterwards that it is not."""
    told = []
    with pika.BlockingConnection(pika.URLParameters(own_rabbitmq.url)) as connection:
        connection.add_on_connection_blocked_callback(lambda *_: told.append("blocked"))
        connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
        channel = connection.channel()
        channel.queue_declare("kept")
        with own_rabbitmq.alarm():
            channel.basic_publish("", "kept", b"1")
            until(lambda: connection.process_data_events(0.01) or told == ["blocked"], "it says so")
        until(lambda: connection.process_data_events(0.01) or told == ["blocked", "unblocked"], "it says so")


def test_connections_are_closed_by_command(own_rabbitmq: Broker) -> None:
    """A client whose connection the broker closes is told the reason."""
    with pika.BlockingConnection(pika.URLParameters(own_rabbitmq.url)) as connection:
        assert len(own_rabbitmq.connections()) == 1
        own_rabbitmq.close_connections("enough")
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="enough"):
            until(lambda: connection.process_data_events(0.1), "it is told")
