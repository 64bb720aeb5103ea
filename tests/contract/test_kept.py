"""What a later version has stored, and this one does not know, stays byte for byte through whatever
happens to it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from contract.operations import (
    FAULT,
    INSTANCE,
    LOST,
    SECOND,
    Clock,
    claim,
    end,
    finish,
    found,
    now,
    page,
    run,
    set_gate,
    stop,
    submit,
)
from sqlalchemy import Engine, insert, select, text, update

from headrace_server.codec import admin_answers
from headrace_server.config import Settings
from headrace_server.control.gates import GateKeeper
from headrace_server.domain import requests, running
from headrace_server.domain.broadcast import Broadcast
from headrace_server.domain.change import Outcome
from headrace_server.domain.errors import WrongStatus
from headrace_server.domain.event import EventKind
from headrace_server.domain.gate import Scope
from headrace_server.domain.job import Job, JobError, Progress, Status, StopPhase
from headrace_server.domain.ports.cluster import Instance, LifeListener
from headrace_server.domain.retention import Retention
from headrace_server.domain.spec import RetryPolicy, Spec
from headrace_server.store import SqlStore
from headrace_server.store.tables import schema
from headrace_server.wiring import limits_of
from support.next_version.rows import ABOUT, RAW, UNKNOWN, with_raw, with_raw_attempts

THRICE = RetryPolicy(max_attempts=3, initial_backoff=0)
EVERY = Retention(SECOND, SECOND, SECOND)


def stored(engine: Engine, job: Job, column: str) -> Any:
    """A column of its row."""
    with engine.begin() as connection:
        return connection.execute(
            select(schema.job.c[column]).where(schema.job.c.job_id == job.job_id)
        ).scalar_one()


def rewrite(engine: Engine, job: Job, **how: Callable[[Any], Any]) -> None:
    """A later version writes these columns of its row anew."""
    written = {column: write(stored(engine, job, column)) for column, write in how.items()}
    with engine.begin() as connection:
        connection.execute(update(schema.job).where(schema.job.c.job_id == job.job_id).values(written))


def raw(engine: Engine, job: Job) -> dict[str, int]:
    """How many records with RAW, whole and to the letter, are in its row."""
    texts = {
        name: stored(engine, job, name) or "" for name in ("retry", "progress", "error", "attempts", "stop")
    }
    return {name: found for name, text in texts.items() if (found := text.count(RAW))}


async def change(store: SqlStore, job: Job, what: Callable[..., Any], **given: Any) -> Job:
    """A write of its run."""
    of_run = partial(what, claim=job.claim, instance=job.instance, **given)
    return (await store.apply(job.job_id, of_run)).job


async def test_records_that_are_changed_in_part(store: SqlStore, engine: Engine) -> None:
    """Two attempts, a retry, a stop in all its phases and an end: what is changed beside them
    leaves the other keys as they are.
    """
    job = await run(store, retry=THRICE)
    said = Progress(1, 9, "x", 1)
    await change(store, job, running.progress, latest=said)
    rewrite(engine, job, retry=with_raw, progress=with_raw, attempts=with_raw_attempts)
    there = {"retry": 1, "progress": 1, "attempts": 1}
    await change(store, job, running.log, messages=(), limit=9, dropped=1)
    assert raw(engine, job) == there
    await finish(store, job, error=FAULT)
    assert raw(engine, job) == there
    rewrite(engine, job, error=with_raw)
    (taken,) = await claim(store, permit=False)
    assert raw(engine, job) == {**there, "error": 1}
    job = (await store.apply(job.job_id, partial(running.permit, claim=2, instance=INSTANCE, worker="w"))).job
    assert raw(engine, job) == {"retry": 1, "attempts": 1}, "a new attempt has neither progress nor an error"
    assert (taken.job.retry.max_attempts, len(job.attempts)) == (3, 2)
    rewrite(engine, job, attempts=with_raw_attempts)
    await finish(store, job, error=FAULT)
    assert raw(engine, job) == {"retry": 1, "attempts": 3}, "two attempts, and the error of the first"
    (taken,) = await claim(store)
    job = (await stop(store, taken.job)).job
    rewrite(engine, job, stop=with_raw)
    for phase in (StopPhase.DELIVERED, StopPhase.TERMINATING, StopPhase.KILLING):
        job = await change(store, job, running.stop_phase, phase=phase)
        assert raw(engine, job) == {"retry": 1, "attempts": 3, "stop": 1}
    await store.apply(job.job_id, partial(requests.request_stop, grace=0, reason="now", requested_by="you"))
    await finish(store, job, error=FAULT)
    assert raw(engine, job) == {"retry": 1, "attempts": 3, "stop": 1}
    ended = await now(store, job)
    assert ended.status is Status.ABORTED
    assert ended.stop is not None
    assert (ended.stop.phase, ended.stop.confirmed, ended.stop.kill_time) == (
        StopPhase.ENDED,
        True,
        stop_of(job),
    )
    assert [attempt.error is not None for attempt in ended.attempts] == [True] * 3
    fields = {"labels": {"a": "b"}, "locked": True}
    await store.apply(job.job_id, partial(requests.update, fields=fields, etag=""), tenant="default")
    assert raw(engine, job) == {"retry": 1, "attempts": 3, "stop": 1}


def stop_of(job: Job) -> int:
    """When it is to be killed."""
    assert job.stop is not None
    return job.stop.kill_time


@pytest.mark.parametrize("end_of", ["recover", "return_permit", "refused"])
async def test_ends_that_others_write(store: SqlStore, engine: Engine, end_of: str) -> None:
    """A takeover, a permit that comes back and an end in short leave them too."""
    await store.join(Instance("me", 1, {}), lease=None)
    job = await run(store)
    job = (await stop(store, job)).job
    rewrite(engine, job, stop=with_raw, attempts=with_raw_attempts)
    match end_of:
        case "recover":
            assert await store.recover(LOST, confirmed=True) == 1
        case "return_permit":
            await change(store, job, running.return_permit)
        case _:
            await change(store, job, running.end_in_short, error=FAULT)
    assert (await now(store, job)).status is Status.ABORTED
    assert raw(engine, job) == {"stop": 1, "attempts": 1}


async def test_a_word_that_is_not_known_stays(store: SqlStore, engine: Engine) -> None:
    """A phase and kinds of error that this version does not know are written again with their
    numbers.
    """
    job = await run(store, retry=THRICE)
    await finish(store, job, error=FAULT)
    kind = '"kind":42'
    rewrite(engine, job, error=lambda text: text.replace('"kind":1', kind))
    rewrite(engine, job, attempts=lambda text: text.replace('"kind":1', kind))
    (taken,) = await claim(store)
    job = (await stop(store, taken.job)).job
    rewrite(engine, job, stop=lambda text: text.replace('"phase":1', f'"phase":{UNKNOWN}'))
    assert (await change(store, job, running.stop_phase, phase=StopPhase.KILLING)).stop is not None
    await store.apply(job.job_id, partial(requests.request_stop, grace=0, reason="now", requested_by="you"))
    assert f'"phase":{UNKNOWN}' in stored(engine, job, "stop")
    assert '"grace":0' in stored(engine, job, "stop")
    await finish(store, job, error=FAULT)
    assert stored(engine, job, "attempts").count(kind) == 1
    assert (await now(store, job)).status is Status.ABORTED


UNREADABLE = {"status": UNKNOWN, "retry": "{", "labels": "[1]", "attempts": "7", "error": '"x"', "stop": "[]"}


@pytest.mark.parametrize("column", UNREADABLE)
async def test_what_cannot_be_read_is_shown_and_left(
    store: SqlStore, engine: Engine, clock: Clock, column: str
) -> None:
    """No claim, timer, stop, update, deletion, purge or sweep changes a row with a part that cannot
    be read; those behind it are served.
    """
    ended, waits = await end(store), await submit(store, run_after=clock.now + SECOND)
    ready, held = await submit(store), await submit(store, hold=True)
    jobs = (ended, waits, ready, held)
    for job in jobs:
        rewrite(engine, job, **{column: lambda _: UNREADABLE[column]})
    before = rows_of(engine, jobs)
    clock.pass_time(10)
    sound = await end(store, kind="sound")
    behind = await submit(store, run_after=clock.now + 1)
    clock.pass_time(10)
    later = await store.run_timers()
    assert later is None or later > clock.now
    assert [one.job.job_id for one in await claim(store, slots=9)] == [behind.job_id]
    assert (await store.sweep(EVERY, None)).jobs == 1
    assert await store.purge([job.job_id for job in (sound, *jobs)], tenant="default") == 0
    for job in jobs:
        for asked in (
            store.delete(job.job_id, tenant="default"),
            store.apply(
                job.job_id,
                partial(requests.request_stop, grace=1, reason="", requested_by=""),
                tenant="default",
            ),
            store.apply(
                job.job_id, partial(requests.update, fields={"owner": "x"}, etag=""), tenant="default"
            ),
        ):
            with pytest.raises(WrongStatus, match=column):
                await asked
    assert rows_of(engine, jobs) == before
    assert {job.job_id for job in jobs} < set(await found(store, page()))


def rows_of(engine: Engine, jobs: tuple[Job, ...]) -> list[Any]:
    """All there is of these jobs in their table."""
    with engine.begin() as connection:
        of = schema.job.c.job_id
        which = select(schema.job).where(of.in_([job.job_id for job in jobs])).order_by(of)
        return list(connection.execute(which))


async def test_many_that_cannot_be_read_keep_no_other_waiting(
    store: SqlStore, engine: Engine, clock: Clock
) -> None:
    """More of them than one look of a sweep takes, all older: what is behind goes all the same."""
    many = [await end(store) for _ in range(101)]
    with engine.begin() as connection:
        connection.execute(update(schema.job).values(error="{"))
    clock.pass_time(1)
    last = await end(store)
    clock.pass_time(10)
    swept = await store.sweep(EVERY, None)
    while swept.more:
        swept = await store.sweep(EVERY, swept.turn)
    assert set(await found(store, page(limit=200))) == {job.job_id for job in many}
    assert last.job_id not in {job.job_id for job in many}


async def test_a_run_that_was_claimed_and_cannot_be_read_goes_back(store: SqlStore, engine: Engine) -> None:
    """Its instance is dead and no code of it has run: whoever can read it runs it."""
    await store.join(Instance("me", 1, {}), lease=None)
    job = await submit(store)
    await claim(store, permit=False)
    rewrite(engine, job, retry=lambda _: "[1]")
    assert await store.recover(LOST, confirmed=True) == 1
    assert (await now(store, job)).status is Status.QUEUED
    assert stored(engine, job, "retry") == "[1]"
    assert await claim(store) == []


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("how", ["finish", "end_in_short", "recover"])
async def test_a_run_of_damaged_revision_ends(store: SqlStore, engine: Engine, how: str) -> None:
    """Its end follows the last event of its history, and the revision is right from then on."""
    await store.join(Instance("me", 1, {}), lease=None)
    job = await run(store)
    with engine.begin() as connection:
        connection.execute(text("UPDATE job SET revision = 'many'"))
    assert (await now(store, job)).illegible == "revision"
    match how:
        case "finish":
            await finish(store, job, result='"done"')
        case "end_in_short":
            await change(store, job, running.end_in_short, error=FAULT)
        case _:
            assert await store.recover(LOST, confirmed=True) == 1
    ended = await now(store, job)
    assert (ended.status.final, ended.illegible) == (True, "")
    revisions = [event.revision for event in await store.events(job.job_id, after=0, limit=99)]
    assert revisions == list(range(1, ended.revision + 1))


async def test_a_timer_of_another_kind_is_left(store: SqlStore, engine: Engine, clock: Clock) -> None:
    """What a later version waits for is neither settled nor looked at again and again."""
    job = await submit(store)
    with engine.begin() as connection:
        connection.execute(
            insert(schema.timer).values(at=clock.now - SECOND, kind=UNKNOWN, job_id=job.job_id)
        )
    assert await store.run_timers() is None
    assert await store.run_timers() is None
    with engine.begin() as connection:
        assert len(connection.execute(select(schema.timer)).all()) == 1


async def test_gates_keep_what_a_later_version_said(store: SqlStore, engine: Engine) -> None:
    """A column that is not known outlives every change; when all that is known is taken back the
    row stays, and is not shown.
    """
    await set_gate(store, Scope.QUEUE, "q", max_running=3)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE gate ADD COLUMN colour TEXT"))
        connection.execute(text("UPDATE gate SET colour = 'red'"))
    await set_gate(store, Scope.QUEUE, "q", paused=True)
    await set_gate(store, Scope.QUEUE, "q", paused=False, max_running=None)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT gate, colour FROM gate")).all() == [("queue:q", "red")]
    assert await store.find_gates(after="", limit=9) == []
    job = await submit(store, queue="q")
    assert [one.job.job_id for one in await claim(store)] == [job.job_id]


async def test_a_gate_of_another_scope_is_shown(store: SqlStore, engine: Engine) -> None:
    """It is in the list, as of no scope, the pages go on behind it, and nothing is held up by it."""
    await set_gate(store, Scope.TENANT, "z", weight=2)
    with engine.begin() as connection:
        for key in ("owner:me", "planet"):
            connection.execute(insert(schema.gate).values(gate=key, paused=True, weight=1))
    keeper = GateKeeper(store, limits_of(Settings()))
    shown, token = [], ""
    for _ in range(3):
        page_of, token = await keeper.find(size=1, token=token)
        shown += [admin_answers.gate(one) for one in page_of]
    assert [(one.name, one.scope) for one in shown] == [("me", 0), ("", 0), ("z", 2)]
    job = await submit(store, owner="me")
    assert [one.job.job_id for one in await claim(store)] == [job.job_id]


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("column", ["max_running", "max_running_per_owner", "weight"])
async def test_a_damaged_gate_lets_nothing_through(
    store: SqlStore, engine: Engine, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is shown as paused, the log says so once, others are served, and an operator can say anew
    what it is.
    """
    await set_gate(store, Scope.QUEUE, column, max_running=3)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE gate SET {column} = 'many'"))  # noqa: S608 - ours, all of it
    await submit(store, queue=column)
    other = await submit(store)
    for _ in range(2):
        assert [one.paused for one in await store.find_gates(after="", limit=9)] == [True]
    assert [one.job.job_id for one in await claim(store, slots=2)] == [other.job_id]
    assert caplog.text.count("cannot be read, so it lets nothing through") == 1
    await set_gate(store, Scope.QUEUE, column, paused=False, max_running=1)
    assert len(await claim(store, slots=2)) == 1


async def test_an_instance_in_another_state_is_not_dead(store: SqlStore, engine: Engine) -> None:
    """What it runs is not taken over, it leads on, and its row outlives the day after which the
    dead are forgotten.
    """
    job = await run(store)
    await store.join(Instance("me", 1, {}), lease=5, life=LifeListener())
    with engine.begin() as connection:
        connection.execute(
            insert(schema.instance).values(
                instance=INSTANCE, state=UNKNOWN, beat=1, start_time=2, about=ABOUT[0], still_beat=0, still=0
            )
        )
        connection.execute(update(schema.duty).values(holder=INSTANCE))
    assert await store.recover(LOST, confirmed=True) == 0
    assert not await store.try_lead(want=True)
    await store.join(Instance("me again", 2, {}), lease=5, life=LifeListener())
    with engine.begin() as connection:
        row = connection.execute(select(schema.instance).where(schema.instance.c.instance == INSTANCE)).one()
    assert (row.state, row.about, row.beat) == (UNKNOWN, ABOUT[0], 1)
    assert (await now(store, job)).status is Status.RUNNING
    with engine.begin() as connection:
        connection.execute(update(schema.instance).where(schema.instance.c.state == UNKNOWN).values(state=2))
    assert await store.recover(LOST, confirmed=True) == 1


async def test_logs_and_the_outbox_keep_what_they_hold(url: str, engine: Engine, clock: Clock) -> None:
    """Bodies of events stay as a later version has written them while their job goes on, is
    relayed, and others are settled.
    """
    store = SqlStore.open(url, durable=False, clock=clock, broadcast=frozenset(EventKind))
    try:
        job = await run(store)
        with engine.begin() as connection:
            for table in (schema.job_event, schema.outbox):
                connection.execute(
                    update(table).where(table.c.revision == 2).values(body=f"{{{RAW}}}", kind=42)
                )
        await finish(store, job, error=JobError(FAULT.kind, "x"))
        unsent = await store.unsent(after=0, parked=False, limit=99)
        places = [one.place for one in unsent.broadcasts]
        assert [revision_of(one) for one in unsent.broadcasts] == [1, 2, 3, 4]
        await store.settle(places[:1], places[1:2])
        with engine.begin() as connection:
            for table in (schema.job_event, schema.outbox):
                kept = select(table.c.body).where(table.c.revision == 2)
                assert connection.execute(kept).scalar_one() == f"{{{RAW}}}"
    finally:
        await store.close()


def revision_of(one: Broadcast) -> int:
    """Of its event."""
    return one.event.revision


def test_an_outcome_says_nothing_of_keys() -> None:
    """The error of an event has the keys that its readers know."""
    job = requests.create("j", "t", Spec("t"), 1, hold=False).job
    job = running.permit(
        running.claim(job, 1, instance="i", worker="w").job, 1, claim=1, instance="i", worker="w"
    ).job
    ended = running.finish(job, 1, claim=1, instance="i", outcome=Outcome(error=FAULT))
    assert "unknown" not in ended.events[-1].body["error"]
