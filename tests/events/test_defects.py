"""A defect in the publisher's thread: it is not its end."""

import asyncio
from dataclasses import replace

import pytest
from events.conftest import Bench

from headrace_server.amqp.broker import Broker
from headrace_server.amqp.envelope import Envelope
from headrace_server.codec.event_bodies import FORMATS, progress_body
from headrace_server.domain import requests, running
from headrace_server.domain.broadcast import Broadcast, Disposition
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Progress, Status
from headrace_server.domain.spec import Spec

pytestmark = pytest.mark.slow
NOW = 1_700_000_000_000_000


def broadcast(revision: int) -> Broadcast:
    """An event of a job."""
    event = Event("j", "t", "copy", revision, NOW, 0, Status.QUEUED, EventKind.CREATED, {})
    return Broadcast(event, revision - 1, revision)


async def test_the_publisher_outlives_a_defect(rabbitmq: str, bench: Bench) -> None:
    """Progress that cannot be written is left out; any other defect costs a connection, which is
    told and made anew.
    """
    bench.queue("here", "#")
    broker = Broker(
        [rabbitmq], "headrace.events", Envelope("test", *FORMATS["json"], progress_body), name="test"
    )
    up, down, fates = asyncio.Event(), asyncio.Event(), []
    settled = asyncio.Event()

    def take(told: object) -> None:
        fates.extend(told)  # type: ignore[call-overload] # pairs
        settled.set()

    broker.on_up, broker.on_down, broker.on_settled = up.set, down.set, take
    broker.start()
    async with asyncio.timeout(30):
        await up.wait()
        job = running.claim(
            requests.create("j", "t", Spec("copy"), NOW, hold=False).job, NOW, instance="i", worker="w"
        ).job
        far = Progress(1, 2**70, "", 2**70)
        broker.publish_progress(job, far)
        broker.publish_progress(job, replace(far, total=2, update_time=NOW))
        broker.publish([broadcast(1)])
        await settled.wait()
        assert not down.is_set()
        settled.clear()
        up.clear()
        broker.call(lambda: 1 // 0)
        await down.wait()
        await up.wait()
        broker.publish([broadcast(2)])
        await settled.wait()
    await broker.close()
    assert [disposition for _, disposition in fates] == [Disposition.CONFIRMED, Disposition.CONFIRMED]
    assert len(bench.take("here", 3)) == 3
