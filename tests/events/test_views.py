"""AMQP and gRPC are two views of one log: all jobs of all outcomes; and others than pika can read
it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq_event

from headrace import Client, JobHandle, RetryPolicy
from headrace.info import ErrorKind
from support.broadcast_judge import Message, histories, judge, watches
from support.figures import seed
from support.history import FINAL
from support.listener import EXCHANGE, Listener
from support.server import Server

pytestmark = pytest.mark.deep

TENANT = "Zürich~1.a"
"""Its characters are escaped in routing keys."""
JOBS = 2000
CALLERS = 4
TWICE = RetryPolicy(max_attempts=2, initial_backoff=timedelta(0))
RETRY = datetime.now(UTC) + timedelta(days=1)
SOON = datetime.now(UTC) + timedelta(seconds=5)
Make = Callable[[Client], JobHandle]


def of(job_type: str, parameters: dict[str, Any] | None = None, **options: Any) -> Make:
    """Submit one."""
    return lambda client: client.submit(job_type, parameters, **options)


def stopped(make: Make) -> Make:
    """Submit one and stop it."""

    def submit(client: Client) -> JobHandle:
        job = make(client)
        job.stop(grace_period=0)
        return job

    return submit


def released(client: Client) -> JobHandle:
    """Held, changed and then released."""
    job = client.submit("test.noop", hold=True)
    client.update(job.job_id, description="released")
    job.release()
    return job


OUTCOMES: list[tuple[Make, int]] = [
    (of("test.report", {"total": 3}), 200),
    (of("test.flaky", {"until": 2}, retry_policy=TWICE), 100),
    (of("test.fail"), 100),
    (of("test.declare", {"how": "fail"}), 50),
    (of("test.declare", {"how": "retry"}, retry_policy=TWICE), 50),
    (of("test.declare", {"how": "abort"}), 100),
    (of("test.declare", {"how": "succeed"}), 50),
    (of("test.die", {"how": "exit"}), 30),
    (of("test.timeout"), 10),
    (of("test.unserializable"), 50),
    (of("test.large", {"size": 2 << 20}), 10),
    (of("chaos.unmade", {"log": "unused"}), 50),
    (of("test.noop", run_after=RETRY, expire_time=SOON), 50),
    (stopped(of("test.noop", run_after=RETRY)), 100),
    (stopped(of("test.noop", hold=True)), 100),
    (stopped(of("test.pause", priority=9)), 50),
    (released, 100),
]
"""What there is beside no-ops, and how often."""


def all_of_them(rng: random.Random) -> list[Make]:
    """JOBS of them, mixed."""
    made = [make for make, count in OUTCOMES for _ in range(count)]
    made += [of("test.noop")] * (JOBS - len(made))
    rng.shuffle(made)
    return made


def test_two_views_of_one_log(rabbitmq: str, tmp_path: Path, announce: Callable[[str, str], None]) -> None:
    """Over 2,000 jobs of all outcomes what came over AMQP is, job by job, what ListJobEvents and
    WatchJob show (acceptance 76, 77).
    """
    folder = tmp_path / "server"
    folder.mkdir()
    with (
        Server(folder, jobs="support.jobs,support.chaos_jobs", amqp_url=rabbitmq) as server,
        server.client(tenant=TENANT, timeout=60) as client,
        Listener(rabbitmq) as listener,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        submitted = callers.map(lambda make: make(client).job_id, all_of_them(random.Random(seed())))
        job_ids = list(submitted)
        listener.hears_the_end_of(job_ids, 90)
        jobs = list(client.list(page_size=1000))
        report = judge(listener.messages, histories(server.target, job_ids, TENANT))
        judge(listener.messages, watches(server.target, job_ids, TENANT))
        assert len(jobs) == report.jobs == JOBS
        assert report.duplicates == 0
        statuses = Counter(str(job.status) for job in jobs)
        assert all(statuses[status] >= JOBS // 10 for status in FINAL), statuses
        errors = {job.error.kind for job in jobs if job.error}
        assert errors == set(ErrorKind) - {
            ErrorKind.UNKNOWN,
            ErrorKind.INSTANCE_LOST,
            ErrorKind.INSTANCE_DRAINED,
        }
    announce("two views of one log", f"{report}; {', '.join(f'{name} {n}' for name, n in statuses.items())}")


@pytest.mark.parametrize("form", ["json", "protobuf"])
async def test_another_library_reads_them(rabbitmq: str, tmp_path: Path, form: str) -> None:
    """A consumer on aio-pika gets every event, and the cloudevents package parses it, whatever its
    body is written in.
    """
    tmp_path.joinpath("server").mkdir()
    server = Server(tmp_path / "server", amqp_url=rabbitmq, events_format=form)
    connection = await aio_pika.connect(rabbitmq)
    came: list[Message] = []
    try:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue("other", durable=True)
        await queue.bind(exchange, "job.*.*.test%2Eecho")
        await asyncio.to_thread(server.start)
        job_ids = await asyncio.to_thread(run_some, server)
        async with asyncio.timeout(30), queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                check_as_cloudevent(message)
                came.append(kept(message))
                if sum(one.headers["ce-final"] for one in came) == len(job_ids):
                    break
        judge(came, await asyncio.to_thread(histories, server.target, job_ids))
    finally:
        await connection.close()
        await asyncio.to_thread(server.close)


def run_some(server: Server) -> list[str]:
    """Jobs of the type that the queue is bound to, and one of another."""
    with server.client() as client:
        client.submit("test.noop").wait(30)
        return [client.submit("test.echo", {"n": n}).wait(30).job_id for n in range(3)]


def kept(message: AbstractIncomingMessage) -> Message:
    """It, for the judge."""
    properties = {
        "message_id": message.message_id,
        "content_type": message.content_type,
        "type": message.type,
        "app_id": message.app_id,
        "delivery_mode": message.delivery_mode,
        "timestamp": message.timestamp and int(message.timestamp.timestamp()),
    }
    return Message(message.routing_key or "", properties, dict(message.headers), message.body)


def check_as_cloudevent(message: AbstractIncomingMessage) -> None:
    """Parse it by the binding of CloudEvents for RabbitMQ, and compare what that says with the
    body.
    """
    headers: Any = message.headers
    event = from_rabbitmq_event(RabbitMQMessage(headers, message.content_type, message.body))
    body = kept(message).event
    assert event.get_id() == f"{body.job_id}/{body.revision}"
    assert event.get_type() == f"headrace.job.{body.WhichOneof('kind')}.v1"
    assert event.get_source() == "/headrace"
    assert event.get_subject() == body.job_id
    assert event.get_time() == body.event_time.ToDatetime(UTC)
    assert event.get_extension("revision") == body.revision
    assert event.get_extension("jobtype") == body.type
    data = event.get_data()
    if message.content_type == "application/json":
        assert isinstance(data, dict)
        assert data["jobId"] == body.job_id
    else:
        assert data == message.body
