"""The consumer of status events, on a real RabbitMQ.

The messages are made by hand, as docs/events.md describes them.
"""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from headrace import info
from headrace._events import link
from headrace.errors import InvalidArgument
from headrace.events import BrokerRefused, EventConsumer
from support.broadcasts import message
from support.listening import Listening, exchange
from support.rabbitmq import Broker
from support.server import until

TESTS = Path(__file__).parents[1]


def test_events_are_shown_in_order_and_acknowledged(rabbitmq: str) -> None:
    """Each is shown as it was broadcast, and leaves the queue when the handler has returned."""
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq) as listening:
            made.publish(message("a", 1, created={}), message("b", 1), message("a", 2, protobuf=True))
            assert listening.waits_for(3) == [("a", 1), ("b", 1), ("a", 2)]
        assert made.waiting() == 0
        assert listening.shown[0].kind is info.EventKind.CREATED


def test_the_queue_keeps_what_comes_while_nobody_consumes(rabbitmq: str) -> None:
    """It is durable, and declared again without harm."""
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq) as first:
            made.publish(message("a", 1))
            first.waits_for(1)
        made.publish(message("a", 2), message("a", 3))
        with Listening(rabbitmq) as second:
            assert second.waits_for(2) == [("a", 2), ("a", 3)]


def test_duplicates_are_dropped(rabbitmq: str) -> None:
    """A revision that was passed is not shown again, and does not stay in the queue."""
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq) as listening:
            made.publish(*(message("a", revision) for revision in (1, 1, 2, 1, 2, 3)))
            assert listening.waits_for(3) == [("a", 1), ("a", 2), ("a", 3)]
        assert made.waiting() == 0
        assert len(listening.shown) == 3


def test_positions_of_ones_own_outlive_the_consumer(rabbitmq: str) -> None:
    """What an earlier consumer has shown is a duplicate for the next."""
    positions: dict[str, int] = {}
    with exchange(rabbitmq) as made:
        with Listening(rabbitmq, positions=positions) as first:
            made.publish(message("a", 1), message("a", 2))
            first.waits_for(2)
        assert positions == {"a": 2}
        made.publish(message("a", 2), message("a", 3))
        with Listening(rabbitmq, positions=positions) as second:
            assert second.waits_for(1) == [("a", 3)]


def test_only_what_was_asked_for_is_shown(rabbitmq: str) -> None:
    """Tenants and types are chosen by the broker, by their escaped names; kinds and statuses by the
    consumer.
    """
    wanted = {"tenant": "büro", "job_type": "a.b", "words": ("b%C3%BCro", "a%2Eb")}
    with exchange(rabbitmq) as made:
        options = {"statuses": ["RUNNING", "FAILED"], "tenants": ["büro"], "types": ["a.b", "c"]}
        with Listening(rabbitmq, **options) as listening:
            made.publish(message("a", 1, **wanted))
            made.channel.queue_declare("all", durable=True)
            made.channel.queue_bind("all", "headrace.events", "#")
            made.publish(
                message("a", 2, status="QUEUED", **wanted),
                message("a", 3, message_logged={"text": "hm"}, **wanted),
                message("b", 1),
                message("c", 1, tenant="büro", job_type="b", words=("b%C3%BCro", "b")),
                message("a", 4, status="FAILED", **wanted),
            )
            assert listening.waits_for(2) == [("a", 1), ("a", 4)]
        assert len(listening.shown) == 2
        assert made.waiting("all") == 5


@pytest.mark.slow
def test_a_handler_that_fails_holds_up_its_job_alone(rabbitmq: str, caplog: pytest.LogCaptureFixture) -> None:
    """The event is shown again after a pause, the later ones of its job behind it; those of others
    go on.
    """
    failures = iter([True, True])

    def handle(event: info.JobEvent) -> None:
        if (event.job_id, event.revision) == ("a", 2) and next(failures, False):
            raise LookupError("the other service is away")

    with exchange(rabbitmq) as made:
        with Listening(rabbitmq, handle=handle) as listening:
            made.publish(*(message(job_id, revision) for revision in (1, 2, 3) for job_id in "ab"))
            listening.waits_for(6)
        assert made.waiting() == 0
    order = listening.revisions
    assert [one for one in order if one[0] == "a"] == [("a", 1), ("a", 2), ("a", 3)]
    assert order[:4] == [("a", 1), ("b", 1), ("b", 2), ("b", 3)]
    told = [record for record in caplog.records if "The handler failed on event a/2" in record.message]
    assert len(told) == 2
    assert "the other service is away" in str(told[0].exc_info)


def test_what_cannot_be_handled_is_rejected_when_a_limit_was_set(rabbitmq: str) -> None:
    """After max_attempts the event goes to the dead-letter exchange, if the queue has one; so do
    messages of others.
    """
    with exchange(rabbitmq) as made:
        made.channel.queue_declare("dead", durable=True)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}

        def handle(event: info.JobEvent) -> None:
            if event.revision == 1:
                raise ValueError("never")

        with Listening(rabbitmq, handle=handle, max_attempts=1, queue_arguments=arguments) as listening:
            foreign = replace(message("x", 1), headers={"ce-type": "com.example.order"})
            made.publish(message("a", 1), foreign, message("a", 2))
            assert listening.waits_for(1) == [("a", 2)]
        until(lambda: made.waiting("dead") == 2, "both are in the queue of dead letters")
        assert made.waiting() == 0


def test_an_event_that_a_kill_interrupts_is_shown_again(rabbitmq: str) -> None:
    """Until the handler has returned, the event belongs to the queue: the next consumer gets it, in
    its place.
    """
    entered, leave = threading.Event(), threading.Event()

    def handle(_event: info.JobEvent) -> None:
        entered.set()
        leave.wait(30)
        raise SystemExit

    with exchange(rabbitmq) as made:
        first = Listening(rabbitmq, handle=handle).start()
        made.publish(message("a", 1), message("a", 2))
        assert entered.wait(30)
        leave.set()
        first.end()
        assert isinstance(first.raised, SystemExit)
        with Listening(rabbitmq) as second:
            assert second.waits_for(2) == [("a", 1), ("a", 2)]


def test_stop_lets_the_handler_finish(rabbitmq: str) -> None:
    """From another thread: the event in hand is acknowledged, those behind it stay in the queue."""
    entered, leave = threading.Event(), threading.Event()

    def handle(_event: info.JobEvent) -> None:
        entered.set()
        leave.wait(30)

    with exchange(rabbitmq) as made:
        listening = Listening(rabbitmq, handle=handle).start()
        made.publish(message("a", 1), message("a", 2))
        assert entered.wait(30)
        listening.consumer.stop()
        leave.set()
        listening.end()
        assert listening.revisions == [("a", 1)]
        assert made.waiting() == 1


def test_a_consumer_that_was_stopped_does_not_begin(rabbitmq: str) -> None:
    """A stop that came too early is not forgotten."""
    consumer = EventConsumer("early", print, url=rabbitmq)
    consumer.stop()
    consumer.run()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_in_order(rabbitmq: str, how: signal.Signals) -> None:
    """stop() in a handler of signals ends it with what it has in hand; Ctrl-C is a
    KeyboardInterrupt, and what it breaks off comes again.
    """
    script = (
        "import signal, threading\n"
        "from headrace.events import EventConsumer\n"
        "told = threading.Event()\n"
        "def handle(event):\n"
        "    print(event.revision, flush=True)\n"
        "    told.wait()\n"
        "consumer = EventConsumer('listening', handle)\n"
        "def stop(*_):\n"
        "    consumer.stop()\n"
        "    told.set()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "consumer.run()\n"
        "print('ended')\n"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "HEADRACE_AMQP_URL": rabbitmq}
    with (
        exchange(rabbitmq) as made,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as consumer,
    ):
        made.publish(message("a", 1))
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == "1\n"
        consumer.send_signal(how)
        printed, complaint = consumer.communicate(timeout=30)
        if how is signal.SIGTERM:
            assert (printed, complaint, consumer.returncode) == ("ended\n", "", 0)
            assert made.waiting() == 0
        else:
            assert (printed, consumer.returncode) == ("", -signal.SIGINT)
            assert complaint.endswith("KeyboardInterrupt\n")
            until(lambda: made.waiting() == 1, "it is in the queue again")


@pytest.mark.slow
def test_a_handler_that_takes_longer_than_the_heartbeat_keeps_the_connection(own_rabbitmq: Broker) -> None:
    """The broker cuts a client that is silent for two heartbeats; the handler's time is none of the
    connection's.
    """
    leave = threading.Event()
    began = threading.Event()

    def handle(_event: info.JobEvent) -> None:
        began.set()
        leave.wait(30)

    url = f"{own_rabbitmq.url}?heartbeat=1"
    with exchange(own_rabbitmq.url) as made:
        with Listening(url, handle=handle) as listening:
            made.publish(message("a", 1))
            assert began.wait(30)
            before = names(own_rabbitmq)
            leave.wait(
                4
            )  # twice as long as the broker waits: there is no fact to wait for but that none happens
            assert names(own_rabbitmq) == before
            leave.set()
            listening.waits_for(1)
        assert made.waiting() == 0
        assert len(listening.shown) == 1


def names(broker: Broker) -> set[object]:
    """The connections that the broker has, by address."""
    return {connection["name"] for connection in broker.connections()}


@pytest.mark.slow
def test_a_broker_that_is_restarted_is_found_again(own_rabbitmq: Broker) -> None:
    """Stopped and started while it consumes: no event is lost, none shown twice, and the order
    holds (failure case 13).
    """
    with Listening(own_rabbitmq.url) as listening:
        with exchange(own_rabbitmq.url) as made:
            made.publish(*(message("a", revision) for revision in range(1, 51)))
        own_rabbitmq.stop()
        own_rabbitmq.start()
        with exchange(own_rabbitmq.url) as made:
            made.publish(*(message("a", revision) for revision in range(51, 61)))
            assert listening.waits_for(60) == [("a", revision) for revision in range(1, 61)]
    assert len(listening.shown) == 60


@pytest.mark.slow
def test_connections_that_the_broker_closes_are_made_again(own_rabbitmq: Broker) -> None:
    """Closed by its management command, with unacknowledged events in hand: they come again, and
    are shown once.
    """
    entered, leave = threading.Event(), threading.Event()

    def handle(event: info.JobEvent) -> None:
        if event.revision == 2:
            entered.set()
            leave.wait(30)

    with Listening(own_rabbitmq.url, handle=handle) as listening:
        with exchange(own_rabbitmq.url) as made:
            made.publish(*(message("a", revision) for revision in range(1, 6)))
        assert entered.wait(30)
        own_rabbitmq.close_connections()
        leave.set()
        listening.waits_for(5)
        with exchange(own_rabbitmq.url) as made:
            made.publish(message("a", 6))
        assert listening.waits_for(6) == [("a", revision) for revision in range(1, 7)]
    assert len(listening.shown) == 6


def test_a_queue_that_was_deleted_is_declared_again(rabbitmq: str) -> None:
    """The broker cancels its consumer, which begins anew."""
    with exchange(rabbitmq) as made, Listening(rabbitmq) as listening:
        made.publish(message("a", 1))
        listening.waits_for(1)
        made.channel.queue_delete("listening")
        made.publish(message("a", 2))
        assert listening.waits_for(2) == [("a", 1), ("a", 2)]


def test_an_exchange_that_was_deleted_is_bound_again(rabbitmq: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exchange the broker forgets its bindings, and tells nobody: they are declared again
    now and then.
    """
    monkeypatch.setattr(link, "BIND_AGAIN", 0.1)
    monkeypatch.setattr(link, "TICK", 0.1)
    with exchange(rabbitmq) as made, Listening(rabbitmq) as listening:
        made.publish(message("a", 1))
        listening.waits_for(1)
        made.channel.exchange_delete("headrace.events")
        made.channel.exchange_declare("headrace.events", exchange_type="topic", durable=True)
        made.publish(message("a", 2))
        assert listening.waits_for(2) == [("a", 1), ("a", 2)]


def test_a_consumer_declares_the_exchange_where_there_is_none(rabbitmq: str) -> None:
    """It may come before the first server: both declare the same."""
    with Listening(rabbitmq) as listening, exchange(rabbitmq) as made:
        made.publish(message("a", 1))
        listening.waits_for(1)


def test_a_second_consumer_of_the_queue_stands_by(rabbitmq: str) -> None:
    """One of them is active, so that the order holds; when it ends the other goes on."""
    with exchange(rabbitmq) as made:
        first = Listening(rabbitmq).start()
        made.publish(message("a", 1))
        first.waits_for(1)
        with Listening(rabbitmq) as second:
            until(
                lambda: made.channel.queue_declare("listening", passive=True).method.consumer_count == 2,
                "both consume",
            )
            made.publish(message("a", 2), message("a", 3))
            first.waits_for(3)
            assert second.shown == []
            first.end()
            made.publish(message("a", 4))
            assert second.waits_for(1) == [("a", 4)]


def test_a_broker_that_refuses_is_told_at_once(rabbitmq: str) -> None:
    """A wrong password, a missing virtual host, a queue that was declared otherwise: starting again
    is no help.
    """
    with exchange(rabbitmq) as made:
        made.channel.queue_declare("listening", durable=True)
        for url in (rabbitmq, rabbitmq.replace(":guest@", ":wrong@"), f"{rabbitmq}-missing"):
            with pytest.raises(BrokerRefused, match="refuses to serve listening"):
                EventConsumer("listening", print, url=url).run()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "http://127.0.0.1"}, "url: It is amqp://"),
        ({"url": "amqp://127.0.0.1?heartbeat=soon"}, "url: It cannot be used"),
        ({"url": None}, "url: Give it, or set HEADRACE_AMQP_URL"),
        ({"queue": ""}, "queue: It is empty"),
        ({"prefetch": 0}, "prefetch: It is from 1 to 65535"),
        ({"max_attempts": 0}, "max_attempts: It is at least 1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options: dict, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is connected."""
    monkeypatch.delenv("AMQP_URL", raising=False)
    monkeypatch.delenv("HEADRACE_AMQP_URL", raising=False)
    with pytest.raises(InvalidArgument, match=says):
        EventConsumer(**{"queue": "q", "handler": print, "url": "amqp://127.0.0.1", **options})
