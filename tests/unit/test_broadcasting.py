"""The pump between outbox and broker, against a broker that does its worst: the store is real, the
broker is played.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from headrace_server.control.outbox import relay
from headrace_server.control.outbox.relay import OutboxRelay
from headrace_server.domain import requests
from headrace_server.domain.broadcast import DEFAULT_KINDS, Ack, Broadcast, Disposition
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import Job, Progress
from headrace_server.domain.ports.jobs import Submission
from headrace_server.domain.spec import Spec
from headrace_server.store import SqlStore
from headrace_server.store.opening import migrate
from support.figures import seed

JOBS = 60
LIMIT = 20.0


class UnsteadyBroker:
    """A broker that takes, refuses and gives back, breaks down, and settles in any order."""

    def __init__(self, chance: random.Random) -> None:
        self.on_up: Callable[[], None] = lambda: None
        self.on_down: Callable[[], None] = lambda: None
        self.on_settled: Callable[[Sequence[Ack]], None] = lambda _settled: None
        self.taken: list[Broadcast] = []
        """What it has, in the order in which it came."""
        self.flying: list[Broadcast] = []
        self.together: Counter[str] = Counter()
        """How many of a job were under way at once, at most."""
        self.unwanted: set[str] = set()
        self.unfit: set[str] = set()
        self.calm = False
        self.up = False
        self._chance = chance

    def start(self) -> None:
        """It is there."""
        self.rise()

    async def close(self) -> None:
        """Nothing more comes."""
        self.up = False

    def rise(self) -> None:
        """A connection is there."""
        self.up = True
        self.on_up()

    def fall(self) -> None:
        """The connection breaks: some of what was under way has arrived, and nobody hears of it."""
        for broadcast in self.flying:
            if broadcast.event.job_id not in self.unwanted and self._chance.random() < 0.5:
                self.taken.append(broadcast)
        self.flying.clear()
        self.up = False
        self.on_down()

    def publish(self, broadcasts: Sequence[Broadcast]) -> None:
        """Take these."""
        assert self.up
        self.flying += broadcasts
        jobs = Counter(one.event.job_id for one in self.flying)
        for job_id, count in jobs.items():
            self.together[job_id] = max(self.together[job_id], count)

    def publish_progress(self, job: Job, progress: Progress) -> None:
        """Nobody asks."""

    def act(self) -> None:
        """Something happens."""
        if not self.up:
            self.rise()
        elif not self.calm and self._chance.random() < 0.05:
            self.fall()
        else:
            self._chance.shuffle(self.flying)
            count = self._chance.randint(0, len(self.flying))
            now, self.flying = self.flying[:count], self.flying[count:]
            self.on_settled([(one, self._disposition(one)) for one in now])

    def _disposition(self, broadcast: Broadcast) -> Disposition:
        if broadcast.event.job_id in self.unfit:
            return Disposition.UNFIT
        if broadcast.event.job_id in self.unwanted:
            return Disposition.UNROUTABLE
        if not self.calm and self._chance.random() < 0.1:
            return Disposition.REFUSED
        self.taken.append(broadcast)
        return Disposition.CONFIRMED


async def happen(broker: UnsteadyBroker, fact: Callable[[], Awaitable[bool]]) -> None:
    """Let things happen until a fact is there."""
    async with asyncio.timeout(LIMIT):
        while not await fact():
            broker.act()
            await asyncio.sleep(0.002)


@pytest.mark.asyncio
async def test_what_cannot_be_published_is_kept(tmp_path: Path) -> None:
    """Where what no queue wants is let go, an event that cannot be put into a message stays, and
    holds up its own job only.
    """
    url = f"sqlite:///{tmp_path}/jobs.db"
    migrate.upgrade(url)
    store = SqlStore.open(url, durable=False, broadcast=DEFAULT_KINDS)
    broker = UnsteadyBroker(random.Random(seed()))
    broker.calm, broker.unfit, broker.unwanted = True, {"unfit"}, {"unwanted"}
    pump = OutboxRelay(store, broker, keep=False)
    pump.start()
    for job_id in ("unfit", "unwanted", "sound"):
        await store.submit(Submission(job_id, "default", Spec("t"), hold=True, request_id="", digest=""))

    async def parted() -> bool:
        found = await store.backlog()
        return (found.pending, found.parked) == (0, 1)

    await happen(broker, parted)
    assert [
        one.event.job_id for one in (await store.unsent(after=0, parked=True, limit=1000)).broadcasts
    ] == ["unfit"]
    assert [one.event.job_id for one in broker.taken] == ["sound"]
    await pump.close(1.0)
    await store.close()


@pytest.mark.asyncio
async def test_nothing_is_lost_or_out_of_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through refusals, breakdowns and queues that are missing for a while each job's events
    arrive, in order, one at a time (failure cases 12, 13, 15).
    """
    monkeypatch.setattr(relay, "REFUSED_PAUSE", 0.01)
    monkeypatch.setattr(relay, "PARKED_PERIOD", 0.05)
    chance = random.Random(seed())
    url = f"sqlite:///{tmp_path}/jobs.db"
    migrate.upgrade(url)
    kinds = DEFAULT_KINDS | {EventKind.UPDATED}
    store = SqlStore.open(url, durable=False, broadcast=kinds)
    broker = UnsteadyBroker(chance)
    pump = OutboxRelay(store, broker)
    store.listeners.append(pump)
    pump.start()
    ids = [f"job-{number}" for number in range(JOBS)]
    broker.unwanted = set(chance.sample(ids, JOBS // 4))

    async def live(job_id: str) -> None:
        await store.submit(Submission(job_id, "default", Spec("t"), hold=True, request_id="", digest=""))
        for number in range(chance.randint(0, 8)):
            await asyncio.sleep(chance.random() / 10)
            await store.apply(job_id, partial(requests.update, fields={"priority": number + 1}, etag=""))
        if chance.random() < 0.3:
            await store.apply(job_id, partial(requests.request_stop, grace=1, reason="", requested_by=""))

    lives = asyncio.gather(*map(live, ids))

    async def lived() -> bool:
        return lives.done()

    async def parked() -> bool:
        return (await store.backlog()).pending == 0

    async def empty() -> bool:
        found = await store.backlog()
        return found.pending == found.parked == 0

    await happen(broker, lived)
    await happen(broker, parked)
    assert {one.event.job_id for one in broker.taken}.isdisjoint(broker.unwanted)
    wanted_late = set(broker.unwanted)
    broker.unwanted.clear()
    await happen(broker, empty)
    broker.calm = True
    for job_id in ids:
        first: dict[int, Broadcast] = {}
        for one in broker.taken:
            if one.event.job_id == job_id:
                first.setdefault(one.event.revision, one)
        events = [one.event for one in first.values()]
        logged = await store.events(job_id, after=0, limit=100)
        assert events == [event for event in logged if event.kind in kinds], job_id in wanted_late
        assert [one.previous for one in first.values()] == [0, *(event.revision for event in events[:-1])]
    assert set(broker.together.values()) == {1}
    await pump.close(1.0)
    await store.close()
