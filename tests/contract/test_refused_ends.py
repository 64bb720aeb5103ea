"""What a database refuses of one job: its end is written in another form, and no other job is
harmed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest
from contract.operations import FAULT, LOST, SECOND, Clock, claim, end, found, now, page, run, stop, submit
from contract.tables import connected
from sqlalchemy import text

from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import ErrorKind, Job, Status
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.jobs import Decision
from headrace_server.domain.retention import Retention
from headrace_server.domain.spec import RetryPolicy
from headrace_server.store import SqlStore
from headrace_server.work.dispatch.active_run import ActiveRun
from headrace_server.work.dispatch.stop_escalation import StopEscalation

_TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER refuses BEFORE {what} ON job WHEN {when} BEGIN SELECT RAISE(ABORT, 'refused'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE unique_violation; END $$",
        "CREATE TRIGGER refuses BEFORE {what} ON job FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()",
    ),
}


@pytest.fixture
def refuse(url: str, database: str) -> Callable[..., None]:
    """Has the database refuse, from now on, what matches a condition on the new row; on the old one
    of a DELETE.
    """

    def make(when: str, what: str = "UPDATE") -> None:
        with connected(url) as connection:
            for statement in _TRIGGERS[database]:
                connection.execute(text(statement.format(when=when, what=what)))
            connection.commit()

    return make


@pytest.fixture
def allow(url: str) -> Callable[[], None]:
    """Has it refuse nothing more."""

    def make() -> None:
        with connected(url) as connection:
            on = "" if url.startswith("sqlite") else " ON job"
            connection.execute(text(f"DROP TRIGGER refuses{on}"))
            connection.commit()

    return make


async def ended(
    store: SqlStore,
    job: Job,
    outcome: Outcome,
    results: Sequence[tuple[str, str]] = (),
    messages: Sequence[Message] = (),
) -> None:
    """What a run says and its end are written, as the dispatcher writes them."""
    tasks: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[None, None, None]) -> None:
        tasks.append(asyncio.ensure_future(coroutine))

    def lost(active: ActiveRun, error: Exception) -> None:
        raise AssertionError(f"{active.key} was replaced: {error}")

    outage = Outage(logging.getLogger(__name__), "runs cannot write", "they write again")
    active = ActiveRun(job, "{}", store, spawn=spawn, on_lost=lost, hold_back=lambda *_: None, outage=outage)
    active.escalation = StopEscalation(active, None, lambda _slot: None, lambda: None)  # type: ignore[arg-type] # nothing is sent
    for name, value in results:
        active.set_result(name, value)
    if messages:
        active.log(messages, 1000, 0)
    active.end(outcome)
    await asyncio.gather(*tasks)
    active.close()


async def test_an_end_that_holds_what_cannot_be_stored(store: SqlStore) -> None:
    """A result, or an error's text, that no database takes gives a FAILED that it takes, and the
    log goes on.
    """
    for outcome, kind in (
        (Outcome(result='"\ud800"'), ErrorKind.RESULT_NOT_SERIALIZABLE),
        (Outcome(error=replace(FAULT, message="\udfff")), ErrorKind.EXCEPTION),
    ):
        job = await run(store)
        await ended(store, job, outcome)
        after = await now(store, job)
        assert (after.status, after.error and after.error.kind) == (Status.FAILED, kind)
        history = await store.events(job.job_id, after=0, limit=100)
        assert [event.revision for event in history] == list(range(1, after.revision + 1))


@pytest.mark.parametrize(
    ("outcome", "status", "kind"),
    [
        (Outcome(result='"done"'), Status.FAILED, ErrorKind.RESULT_NOT_SERIALIZABLE),
        (Outcome(error=FAULT), Status.FAILED, ErrorKind.EXCEPTION),
        (Outcome(aborted=True), Status.ABORTED, None),
        (Outcome(error=replace(FAULT, message="\udfff")), Status.FAILED, ErrorKind.EXCEPTION),
    ],
    ids=["returned", "failed", "aborted", "refused too"],
)
async def test_a_named_result_that_cannot_be_stored(
    store: SqlStore, outcome: Outcome, status: Status, kind: ErrorKind | None
) -> None:
    """A run does not succeed without a result that it has set: it names that; those that were taken
    are kept, an end of its own stays.
    """
    job = await run(store)
    await ended(store, job, outcome, [("first", "1"), ("second", '"\ud800"'), ("third", "3")])
    full = await store.get(job.job_id, tenant="default", payload=True)
    assert full.payload is not None
    assert (full.job.status, full.payload.results) == (status, {"first": "1", "third": "3"})
    assert (full.job.error.kind if full.job.error else None) == kind
    if kind is ErrorKind.RESULT_NOT_SERIALIZABLE:
        assert full.job.error is not None
        assert "The result 'second' could not be stored" in full.job.error.message


async def test_messages_that_cannot_be_stored(store: SqlStore) -> None:
    """They are counted as dropped, where the log tells of what is not kept, and the end is written
    as it was.
    """
    job = await run(store)
    lines = [Message(1, 1, text) for text in ("one", "\udfff", "three")]
    await ended(store, job, Outcome(result='"done"'), messages=lines)
    history = await store.events(job.job_id, after=0, limit=100)
    dropped = [event.body["count"] for event in history if event.kind is EventKind.MESSAGES_DROPPED]
    assert (dropped, (await now(store, job)).status) == ([3], Status.SUCCEEDED)


async def test_a_stop_of_a_run_whose_end_is_refused_is_completed(store: SqlStore) -> None:
    """It is ABORTED, with its stop confirmed."""
    job = await run(store)
    job = (await stop(store, job)).job
    await ended(store, job, Outcome(result='"\ud800"'))
    after = await now(store, job)
    assert (after.status, after.stop and after.stop.confirmed) == (Status.ABORTED, True)


async def test_an_end_that_is_refused_in_every_form_is_written_later(
    store: SqlStore,
    refuse: Callable[[str], None],
    allow: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is tried again, as it was, until the database takes it: nothing of it is lost."""
    job = await run(store)
    refuse(f"NEW.job_id = '{job.job_id}'")
    apply, refused = store.apply, []

    async def applied(job_id: str, decide: Decision, **how: Any) -> Change:
        if "cannot be written in any form" in caplog.text and not refused:
            refused.append((await now(store, job)).status)
            allow()  # before it is tried again
        return await apply(job_id, decide, **how)

    monkeypatch.setattr(store, "apply", applied)
    await ended(store, job, Outcome(result='"whole"'))
    assert refused == [Status.RUNNING]
    full = await store.get(job.job_id, tenant="default", payload=True)
    assert full.job.status is Status.SUCCEEDED
    assert full.payload is not None
    assert full.payload.result == '"whole"'


async def test_recovery_goes_job_by_job(store: SqlStore, refuse: Callable[[str], None]) -> None:
    """Of what a dead instance has left, one job that the database refuses to change leaves the
    others to be settled.
    """
    jobs = [await run(store) for _ in range(4)]
    refuse(f"NEW.job_id = '{jobs[1].job_id}'")
    assert await store.recover(LOST, confirmed=True) == 3
    assert [(await now(store, job)).status for job in jobs] == [
        Status.FAILED,
        Status.RUNNING,
        Status.FAILED,
        Status.FAILED,
    ]


async def test_recovery_of_a_run_whose_next_attempt_is_refused(
    store: SqlStore, refuse: Callable[[str], None]
) -> None:
    """It ends FAILED, which is taken, rather than stay RUNNING."""
    job = await run(store, retry=RetryPolicy(max_attempts=3))
    other = await run(store, retry=RetryPolicy(max_attempts=3))
    refuse(f"NEW.status = 2 AND NEW.job_id = '{job.job_id}'")
    assert await store.recover(LOST, confirmed=True) == 2
    assert ((await now(store, job)).status, (await now(store, other)).status) == (
        Status.FAILED,
        Status.QUEUED,
    )


async def test_timers_go_job_by_job(store: SqlStore, clock: Clock, refuse: Callable[[str], None]) -> None:
    """Of what is due, one job that the database refuses to change keeps no other waiting, nor the
    timers busy.
    """
    bad, good = [await submit(store, run_after=clock.now + SECOND) for _ in range(2)]
    refuse(f"NEW.job_id = '{bad.job_id}'")
    clock.pass_time(2)
    for _ in range(2):
        following = await store.run_timers()
        assert following is not None
        assert following > clock.now
    assert (await now(store, good)).ready
    assert not (await now(store, bad)).ready
    assert [one.job.job_id for one in await claim(store)] == [good.job_id]


async def test_claims_go_job_by_job(store: SqlStore, refuse: Callable[[str], None]) -> None:
    """A job that the database refuses to have claimed is passed over, and those behind it are
    claimed.
    """
    bad = [await submit(store) for _ in range(2)]
    good = [await submit(store) for _ in range(3)]
    refuse(f"NEW.job_id <= '{bad[1].job_id}'")
    taken = [one.job.job_id for _ in range(3) for one in await claim(store, slots=2)]
    assert taken == [job.job_id for job in good]
    assert [(await now(store, job)).status for job in bad] == [Status.QUEUED] * 2


async def test_a_purge_goes_job_by_job(store: SqlStore, refuse: Callable[..., None]) -> None:
    """A job that the database refuses to delete stays, and those beside it go; alone it is one
    caller's error.
    """
    jobs = [await end(store) for _ in range(3)]
    refuse(f"OLD.job_id = '{jobs[1].job_id}'", "DELETE")
    assert await store.purge([job.job_id for job in jobs], tenant="default") == 2
    assert await found(store, page()) == [jobs[1].job_id]
    with pytest.raises(Exception, match=r"refused|unique_violation"):
        await store.delete(jobs[1].job_id, tenant="default")


async def test_a_sweep_goes_job_by_job(
    store: SqlStore,
    clock: Clock,
    refuse: Callable[..., None],
    allow: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Jobs that the database refuses to delete keep no other, however many stand before it; they go
    when it does not any more.
    """
    jobs = [await end(store) for _ in range(5)]
    last = jobs[-1].job_id
    refuse(f"OLD.job_id < '{last}'", "DELETE")
    clock.pass_time(10)
    retention = Retention(SECOND, SECOND, SECOND)
    swept = await store.sweep(retention, None)
    while swept.more:
        swept = await store.sweep(retention, swept.turn)
    assert await found(store, page()) == [job.job_id for job in jobs[:-1]]
    assert caplog.text.count("A job cannot be deleted") == len(jobs) - 1
    allow()
    clock.pass_time(4000)
    assert (await store.sweep(retention, swept.turn)).jobs == len(jobs) - 1


async def test_a_sweep_of_jobs_that_are_all_refused(
    store: SqlStore, clock: Clock, refuse: Callable[..., None]
) -> None:
    """It deletes nothing, and says that it is done."""
    for _ in range(3):
        await end(store)
    refuse("1 = 1", "DELETE")
    clock.pass_time(10)
    swept = await store.sweep(Retention(SECOND, SECOND, SECOND), None)
    assert (swept.jobs, swept.mine, swept.more) == (0, True, False)
    assert len(await found(store, page())) == 3
