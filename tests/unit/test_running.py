"""A run's writes: in order, and one that is defective takes no other along."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

import pytest

from headrace_server.codec import answers
from headrace_server.domain import requests, running
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import Job, Progress, Status
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.jobs import Decision
from headrace_server.domain.spec import Spec
from headrace_server.work.dispatch.active_run import CROWD, ActiveRun
from headrace_server.work.dispatch.stop_escalation import StopEscalation
from headrace_server.work.executor import ProgressReport
from headrace_server.work.ipc import frames

NOW = 1_700_000_000_000_000


class OneRow:
    """A store of one job that is away the first few times."""

    def __init__(self, job: Job, away: int = 0) -> None:
        self.job = job
        self.away = away

    async def apply(self, job_id: str, decide: Decision) -> Change:
        """Change the row."""
        assert job_id == self.job.job_id
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        made = decide(self.job, NOW)
        self.job = made.job
        return made


def started() -> Job:
    """A job in its first attempt."""
    job = running.claim(
        requests.create("j", "t", Spec(type="x"), NOW, hold=False).job, NOW, instance="i", worker="w"
    ).job
    return running.permit(job, NOW, claim=1, instance="i", worker="w").job


def report(done: int, total: int | None, *, after: int) -> ProgressReport:
    """What a child's frame says so many microseconds after the start."""
    return frames.progress_of(["progress", done, total, "", NOW + after])


async def follow(
    store: OneRow, *decisions: Decision, look: Callable[[ActiveRun], object] = lambda _active: None
) -> list[bool]:
    """Write the decisions in one go, and wait until that is done; answer when the run was held
    back, and let go.
    """
    tasks: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[None, None, None]) -> None:
        tasks.append(asyncio.ensure_future(coroutine))

    def lost(active: ActiveRun, error: Exception) -> None:
        raise AssertionError(f"{active.key} was replaced: {error}")

    held: list[bool] = []
    active = ActiveRun(
        store.job,
        "{}",
        store,  # type: ignore[arg-type] # one method is asked
        spawn=spawn,
        on_lost=lost,
        hold_back=lambda _active, back: held.append(back),
        outage=Outage(logging.getLogger(__name__), "runs cannot write", "they write again"),
    )
    active.escalation = StopEscalation(active, None, lambda _slot: None, lambda: None)  # type: ignore[arg-type] # nothing is sent
    for decide in decisions:
        active.write(decide)
    look(active)
    await asyncio.gather(*tasks)
    active.close()
    return held


async def computed(said: ProgressReport) -> Progress:
    """What is made of a report of the run."""
    made: list[Progress] = []
    await follow(OneRow(started()), look=lambda active: made.append(active.progressed(said, 0)))
    return made[0]


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (report(1, 2, after=1_000_000), NOW + 2_000_000),
        (report(1, 2 * 10**12, after=1_000_000), None),  # a byte of two terabytes in the first second
        (report(1, 2**63 - 1, after=1), None),
        (report(1, 2**300, after=10**18), None),
        (report(1, 10**12, after=-1_000_000), None),  # the clock was set back meanwhile
        (report(0, 5, after=1_000_000), None),
        (report(9, 5, after=1_000_000), None),
    ],
)
async def test_an_estimate_lies_within_the_calendar_or_is_unknown(
    said: ProgressReport, end: int | None
) -> None:
    """When a job will end is computed while it is a time that can be told; beyond year 9999, nobody
    knows.
    """
    made = await computed(said)
    assert made.estimated_end_time == end
    assert answers.update(made) is not None


@pytest.mark.parametrize(
    ("total", "said", "left"),
    [
        (10, [(0, 0.0), (5, 1.0)], 1.0),
        (1000, [(600, 0.01), (700, 1.01)], 3.0),  # it goes on where another attempt had come to
        (1000, [(0, 60.0), (100, 61.0)], 9.0),  # a minute of getting ready
        (1000, [(500, 0.01)], None),  # nobody knows yet what of it is new
        (1000, [(500, 0.01), (500, 9.0)], None),
        (10, [(1, 2.0)], 18.0),
        (10, [(1, 2.0), (2, 2.5)], 4.0),
        (1000, [(500, 1.0), (10, 2.0), (20, 3.0)], 98.0),  # it began anew
        (10, [(0, 5.0), (1, 5.0)], None),  # no time between them
    ],
)
async def test_an_estimate_counts_what_the_run_has_done(
    total: int, said: list[tuple[int, float]], left: float | None
) -> None:
    """Time left is what is to be done at the rate between the first report of the attempt and the
    latest.
    """
    made: list[Progress] = []

    def look(active: ActiveRun) -> None:
        made.extend(active.progressed(report(done, total, after=round(at * 10**6)), 0) for done, at in said)

    await follow(OneRow(started()), look=look)
    end = None if left is None else NOW + round((said[-1][1] + left) * 10**6)
    assert made[-1].estimated_end_time == end


@pytest.mark.parametrize("number", [-(2**70), 2**63, 2**70, 10**400])
async def test_counts_and_clocks_of_a_child_are_bounded(number: int) -> None:
    """Whatever a child says, the server can show it to everybody."""
    said = frames.progress_of(["progress", number, number, "x", number])
    message = answers.update(await computed(said))
    assert message is not None
    assert 0 <= message.progress.done == message.progress.total < 2**63
    assert message.progress.update_time.ToJsonString()


def finish(job: Job, now: int) -> Change:
    """The end of the run."""
    return running.finish(job, now, claim=1, instance="i", outcome=Outcome())


def defective(_job: Job, _now: int) -> Change:
    """A write with a defect."""
    raise TypeError("a defect")


async def test_a_defective_write_does_not_keep_the_run_from_ending() -> None:
    """Where one of several writes raises what nobody expects, the others are written, the end among
    them.
    """
    store = OneRow(started())
    await follow(store, defective, finish)
    assert store.job.status is Status.SUCCEEDED


async def test_a_store_that_is_away_loses_nothing() -> None:
    """Writes are repeated until the store is back."""
    store = OneRow(started(), away=2)
    assert await follow(store, finish) == []
    assert store.job.status is Status.SUCCEEDED


def message(job: Job, now: int) -> Change:
    """A message of the run."""
    said = [Message(2, 1, "hello")]
    return running.log(job, now, claim=1, instance="i", messages=said, limit=CROWD)


async def test_a_run_that_says_more_than_the_store_takes_is_held_back() -> None:
    """From so many waiting writes on the run is held back, once, until they are written; none is
    lost.
    """
    store = OneRow(started(), away=2)
    assert await follow(store, *[message] * (CROWD - 1)) == []
    assert store.job.message_count == CROWD - 1
    store = OneRow(started(), away=2)
    assert await follow(store, *[message] * 3 * CROWD) == [True, False]
    assert store.job.message_count == CROWD
    assert store.job.dropped_count == 2 * CROWD
