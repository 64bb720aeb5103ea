"""The hub: cursors over what was committed, and what happens between a commit and its publication."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest

from headrace_server.control.watch.follow import Watch, WatchOptions
from headrace_server.control.watch.hub import KEPT_EVENTS, PACE_MAX, TAKEN_EVENTS, Hub
from headrace_server.domain import change, requests, running
from headrace_server.domain.change import Change, Outcome
from headrace_server.domain.errors import Draining, JobNotFound
from headrace_server.domain.event import Event
from headrace_server.domain.job import Job, Progress, Status
from headrace_server.domain.query import FullJob
from headrace_server.domain.spec import Spec
from headrace_server.domain.updates import Finished, Heartbeat, Snapshot, Update

NOW = 1_700_000_000_000_000


class Log:
    """The two reads that a watch makes, over a history of one job; what is committed is published
    when told.
    """

    def __init__(self) -> None:
        created = requests.create("j", "t", Spec(type="x"), NOW, hold=False)
        self.job = created.job
        self.rows = list(created.events)
        self.reads = 0
        self.gets = 0
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def commit(self, made: Change) -> Change:
        """Write a change, and publish nothing."""
        self.job = made.job
        self.rows += made.events
        return made

    async def get(self, job_id: str, *, tenant: str, payload: bool) -> FullJob:
        """The row."""
        del job_id, tenant, payload
        self.gets += 1
        self.asked.set()
        await self.gate.wait()
        return FullJob(self.job)

    async def events(self, job_id: str, *, after: int, limit: int) -> list[Event]:
        """The log."""
        del job_id
        self.reads += 1
        return [event for event in self.rows if event.revision > after][:limit]


def moves(log: Log) -> Sequence[Event]:
    """Claim, permit and end of the job, committed."""
    fence = {"claim": 1, "instance": "i"}
    claimed = log.commit(running.claim(log.job, NOW, instance="i", worker="w"))
    permitted = log.commit(running.permit(log.job, NOW, **fence, worker="w"))  # type: ignore[arg-type]
    ended = log.commit(running.finish(log.job, NOW, **fence, outcome=Outcome()))  # type: ignore[arg-type]
    return (*claimed.events, *permitted.events, *ended.events)


def watch(log: Log, hub: Hub, **options: object) -> Watch:
    """A watch of the job."""
    return Watch(log, hub, "t", "j", WatchOptions(**options))  # type: ignore[arg-type] # only two methods are asked


async def test_row_read_before_its_commit_is_published() -> None:
    """Two watchers, one of which has read a row that was not published yet: both see every event
    once.
    """
    log, hub = Log(), Hub(100_000)
    early = watch(log, hub).updates()
    assert isinstance(await anext(early), Snapshot)
    following = asyncio.ensure_future(anext(early))
    await asyncio.sleep(0)
    made = moves(log)
    late = watch(log, hub, after=0).updates()
    assert await anext(late) == Heartbeat(0)
    seen = [(await anext(late)).revision for _ in range(4)]  # type: ignore[union-attr] # events
    assert seen == [1, 2, 3, 4]
    hub.publish(made)
    first = await following
    rest = [update async for update in early]
    assert [update.revision for update in (first, *rest[:-1])] == [2, 3, 4]  # type: ignore[union-attr] # events
    assert isinstance(rest[-1], Finished)
    await late.aclose()


async def test_a_feed_behind_what_is_kept_reads_the_log() -> None:
    """A watcher that is further behind than the topic's events reads the rest from the log, in
    order.
    """
    log, hub = Log(), Hub(100_000)
    slow = watch(log, hub).updates()
    await anext(slow)
    for number in range(KEPT_EVENTS * 2):
        hub.publish(
            log.commit(requests.update(log.job, NOW, fields={"priority": number + 1}, etag="")).events
        )
    hub.publish(moves(log))
    revisions = [update.revision async for update in slow if isinstance(update, Event)]
    assert revisions == list(range(2, log.job.revision + 1))
    behind = log.job.revision - 1 - KEPT_EVENTS
    assert behind / TAKEN_EVENTS <= log.reads <= behind / TAKEN_EVENTS + 1


async def test_a_watcher_that_does_not_read_holds_a_few_events() -> None:
    """However far it is behind, a watcher has taken a few events and no more (failure case 20)."""
    log, hub = Log(), Hub(100_000)
    with hub.subscribe("j") as subscription:
        for number in range(KEPT_EVENTS):
            hub.publish(
                log.commit(requests.update(log.job, NOW, fields={"priority": number + 1}, etag="")).events
            )
        taken = subscription.events_after(1)
        assert [event.revision for event in taken or ()] == list(range(2, 2 + TAKEN_EVENTS))
        assert [event.revision for event in subscription.events_after(KEPT_EVENTS) or ()] == [KEPT_EVENTS + 1]
        assert subscription.events_after(KEPT_EVENTS + 1) is None


async def test_many_watchers_let_others_pass() -> None:
    """What is ready meanwhile runs before the last of many watchers of one job is woken, and all
    are woken.
    """
    log, hub = Log(), Hub(100_000)
    woken: list[str] = []

    async def follow(updates: AsyncGenerator[Update]) -> None:
        await anext(updates)
        woken.append("watcher")
        assert isinstance(await _last(updates), Finished)

    following = [watch(log, hub).updates() for _ in range(3 * PACE_MAX)]
    for updates in following:
        await anext(updates)
    watchers = [asyncio.create_task(follow(updates)) for updates in following]
    await asyncio.sleep(0)  # now all of them wait
    hub.publish(moves(log))
    asyncio.get_running_loop().call_soon(woken.append, "somebody else")
    await asyncio.gather(*watchers)
    assert woken.count("watcher") == len(watchers)
    assert woken.index("somebody else") <= PACE_MAX


async def test_the_end_is_read_once_for_all() -> None:
    """Those who watch a job to its end share one read of it, even when the first of them leaves."""
    log, hub = Log(), Hub(100_000)
    watchers = [watch(log, hub).updates() for _ in range(5)]
    for one in watchers:
        await anext(one)
    hub.publish(moves(log))
    gets = log.gets
    log.asked.clear()
    log.gate.clear()
    rest = [asyncio.create_task(_last(one)) for one in watchers]
    await log.asked.wait()
    rest[0].cancel()
    await asyncio.sleep(0)
    log.gate.set()
    ended = await asyncio.gather(*rest[1:])
    assert [type(update) for update in ended] == [Finished] * 4
    assert log.gets == gets + 1


async def _last(updates: AsyncGenerator[Update]) -> Update:
    return [update async for update in updates][-1]


async def test_progress_of_an_ended_attempt_is_not_shown() -> None:
    """Progress that was reported before the end is not shown after it."""
    log, hub = Log(), Hub(100_000)
    following = watch(log, hub).updates()
    await anext(following)
    hub.report("j", Progress(1, 2, "", NOW))
    hub.publish(moves(log))
    kinds = [type(update) async for update in following]
    assert kinds == [Event, Event, Event, Finished]


async def test_nobody_watching_keeps_nothing() -> None:
    """Without watchers nothing is kept, and a watcher that leaves takes its topic along."""
    log, hub = Log(), Hub(100_000)
    hub.publish(moves(log))
    assert hub.feeds == 0
    following = watch(Log(), hub).updates()
    await anext(following)
    assert hub.feeds == 1
    await following.aclose()
    assert hub.feeds == 0


async def test_a_closing_hub_ends_watches() -> None:
    """When the server shuts down a watch ends with Draining, one of a job that has ended with
    finished.
    """
    log, hub = Log(), Hub(100_000)
    following = watch(log, hub).updates()
    await anext(following)
    hub.close()
    with pytest.raises(Draining):
        await anext(following)
    moves(log)
    assert [type(update) async for update in watch(log, hub).updates()] == [Snapshot, Finished]


def test_chain_is_all_or_nothing() -> None:
    """Decisions in a chain see each other's job, and one that raises undoes all."""
    log = Log()
    both = change.chain([
        lambda job, now: requests.update(job, now, fields={"priority": 1}, etag=""),
        lambda job, now: requests.update(job, now, fields={"priority": job.priority + 1}, etag=""),
    ])  # fmt: skip
    made = both(log.job, NOW)
    assert (made.job.priority, len(made.events)) == (2, 2)

    def refuse(job: Job, now: int) -> Change:
        return running.finish(job, now, claim=9, instance="nobody", outcome=Outcome())

    with pytest.raises(Exception, match="no longer holds"):
        change.chain([both, refuse])(log.job, NOW)


async def test_events_that_come_on_two_ways_are_shown_once_in_order() -> None:
    """One instance's own commits may overtake what the tail brings of another's: a watcher sees
    each once, in order.
    """
    log, hub = Log(), Hub(100_000)
    following = watch(log, hub).updates()
    await anext(following)
    claimed, permitted, ended = moves(log)
    hub.publish([permitted])
    assert [(await anext(following)).revision for _ in range(2)] == [2, 3]  # type: ignore[union-attr] # events
    hub.publish([claimed, ended, permitted])
    rest = [update async for update in following]
    assert [type(update) for update in rest] == [Event, Finished]


async def test_what_never_came_as_an_event_is_found_on_the_row() -> None:
    """A later row lets a watcher read the log, up to the end; progress made elsewhere is shown, the
    older never.
    """
    log, hub = Log(), Hub(100_000)
    following = watch(log, hub).updates()
    await anext(following)
    assert set(hub.known()) == {"j"}
    moved = moves(log)
    running_job = replace(log.job, revision=3, status=Status.RUNNING, progress=Progress(1, 2, "", NOW))
    hub.catch_up(running_job)
    hub.report("j", Progress(2, 2, "", NOW + 1))
    hub.catch_up(running_job)
    seen = [await anext(following) for _ in range(4)]
    assert seen[:3] == [*moved]
    assert seen[3] == Progress(2, 2, "", NOW + 1)
    hub.catch_up(log.job)
    assert [type(update) async for update in following] == [Finished]
    assert not hub.known()


async def test_a_job_that_is_gone() -> None:
    """A watch of a job that was deleted elsewhere ends with JobNotFound."""
    log, hub = Log(), Hub(100_000)
    following = watch(log, hub).updates()
    await anext(following)
    hub.gone("another")
    hub.gone("j")
    with pytest.raises(JobNotFound):
        await anext(following)
