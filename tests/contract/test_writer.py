"""The group commit: one transaction for what is waiting, one outcome for each, nothing told before
COMMIT.
"""

import asyncio
import sqlite3
import threading
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from contract.operations import claim, finish, now, run, stop, submission, submit
from contract.tables import connected, file_of

from headrace_server.domain import change, requests, running
from headrace_server.domain.change import Change
from headrace_server.domain.errors import JobNotFound, StaleClaim, StoreUnavailable, WrongStatus
from headrace_server.domain.job import Job, Progress, Status
from headrace_server.store import SqlStore
from headrace_server.store.write import writer
from support.listeners import Recorder

NO_UTF8 = "\ud800"


def describe(text: str) -> Any:
    """A decision: another description."""
    return partial(requests.update, fields={"description": text}, etag="")


def pragma(store: SqlStore, text: str) -> Any:
    """Set something on the connection that writes."""
    with store._engines[0].connect() as connection:
        return connection.connection.driver_connection.execute(f"PRAGMA {text}").fetchone()


async def test_what_comes_together_is_committed_together(
    store: SqlStore, commits: list[list[Change]]
) -> None:
    """Work that arrives while nothing runs shares a few commits, and each job of it is told once in
    each.
    """
    await asyncio.gather(*(submit(store) for _ in range(100)))
    assert len(commits) <= 3
    assert sum(len(told) for told in commits) == 100


async def test_changes_of_one_job_are_folded(store: SqlStore, commits: list[list[Change]]) -> None:
    """Many changes of a job in one batch are one change to the listener: the last state and every
    event in order.
    """
    job = await run(store)
    commits.clear()
    fence = {"claim": job.claim, "instance": job.instance}
    await asyncio.gather(
        *(
            store.apply(
                job.job_id,
                partial(running.log, **fence, messages=[change.Message(1, 1, str(number))], limit=99),
            )
            for number in range(50)
        ),
    )
    events = [event for told in commits for done in told for event in done.events]
    assert [event.body["text"] for event in events] == [str(number) for number in range(50)]
    assert commits[-1][0].job == await now(store, job)
    assert all(len(told) == 1 for told in commits)


async def test_the_listener_is_told_before_the_caller(store: SqlStore, url: str) -> None:
    """A listener has seen a change by the time its caller is answered, and the row is readable by
    then.
    """
    seen: list[str] = []

    def listen(changes: Any) -> None:
        with connected(url) as other:
            stored = [tuple(row) for row in other.exec_driver_sql("SELECT job_id FROM job")]
        seen.extend(done.job.job_id for done in changes if (done.job.job_id,) in stored)

    store.listeners.append(Recorder(committed=listen))
    made = await submit(store)
    assert seen == [made.job_id]


async def test_a_listener_that_fails_harms_nobody(store: SqlStore) -> None:
    """An error of a listener is logged; the listeners behind it are told and callers are answered."""
    told: list[Any] = []

    def listen(_changes: Any) -> None:
        raise ValueError("deaf")

    store.listeners += Recorder(committed=listen), Recorder(committed=told.extend)
    made = await submit(store)
    assert [change.job.job_id for change in told] == [made.job_id]
    assert (await now(store, made)).job_id == made.job_id


async def test_a_refusal_is_one_callers_own(store: SqlStore) -> None:
    """In a batch, work that is refused gets its own error and changes nothing; the rest is
    committed.
    """
    jobs = [await submit(store) for _ in range(3)]
    ended = (await stop(store, jobs[0])).job
    outcomes = await asyncio.gather(
        store.apply(ended.job_id, partial(requests.update, fields={"priority": 3}, etag="")),
        store.apply("unknown", requests.release),
        store.apply(jobs[1].job_id, partial(running.permit, claim=1, instance="x", worker="w")),
        store.apply(jobs[2].job_id, describe("changed")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [WrongStatus, JobNotFound, StaleClaim, Change]
    assert await now(store, ended) == ended
    assert await now(store, jobs[1]) == jobs[1]
    assert (await now(store, jobs[2])).description == "changed"


async def test_a_poisoned_write_fails_alone(store: SqlStore, commits: list[list[Change]]) -> None:
    """Data that the database cannot take fails its own caller; every other write of the batch is
    stored.
    """
    jobs = [await submit(store) for _ in range(9)]
    commits.clear()
    texts = [NO_UTF8 if number == 4 else f"text {number}" for number in range(9)]
    outcomes = await asyncio.gather(
        *(store.apply(job.job_id, describe(text)) for job, text in zip(jobs, texts, strict=True)),
        return_exceptions=True,
    )
    assert [type(outcome) is Change for outcome in outcomes] == [number != 4 for number in range(9)]
    assert isinstance(outcomes[4], UnicodeEncodeError)
    stored = [(await now(store, job)).description for job in jobs]
    assert stored == [*texts[:4], "", *texts[5:]]
    assert sorted(done.job.job_id for told in commits for done in told) == sorted(
        job.job_id for job in jobs if job is not jobs[4]
    )


async def test_a_decision_with_a_fault_fails_alone(store: SqlStore) -> None:
    """An unexpected exception in a decision reaches its caller; what stood beside it in the batch
    is stored.
    """
    first, second = await submit(store), await submit(store)

    def faulty(_job: Job, _now: int) -> Change:
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        store.apply(first.job_id, faulty), store.apply(second.job_id, describe("x")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, Change]
    assert (await now(store, second)).description == "x"


@pytest.mark.only("sqlite")
async def test_a_batch_that_fails_leaves_no_trace(store: SqlStore, commits: list[list[Change]]) -> None:
    """On a full disk the writers of a batch are told STORE_UNAVAILABLE, nothing is stored; with
    room it goes on.
    """
    kept = await submit(store)
    commits.clear()
    pragma(store, f"max_page_count = {pragma(store, 'page_count')[0]}")
    outcomes = await asyncio.gather(
        *(store.submit(submission(parameters=f'"{"x" * 9000}"', request_id=f"r{n}")) for n in range(5)),
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert commits == []
    pragma(store, "max_page_count = 1000000")
    again = await store.submit(submission(request_id="r0"))
    assert not again.existing
    events = await store.events(again.job.job.job_id, after=0, limit=9)
    assert [event.revision for event in events] == [1]
    assert [taken.job.job_id for taken in await claim(store, 9)] == [kept.job_id, again.job.job.job_id]


@pytest.mark.only("sqlite")
async def test_a_locked_database_is_unavailable(store: SqlStore, url: str) -> None:
    """A write lock held elsewhere for longer than the timeout is STORE_UNAVAILABLE; reads go on,
    writes recover.
    """
    made = await submit(store)
    pragma(store, "busy_timeout = 1")
    other = sqlite3.connect(file_of(url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await stop(store, made)
    assert (await now(store, made)).status is Status.QUEUED
    other.execute("ROLLBACK")
    other.close()
    assert (await stop(store, made)).job.status is Status.ABORTED


async def test_nothing_to_do_writes_nothing(store: SqlStore, commits: list[list[Change]]) -> None:
    """A decision that changes nothing is answered, not written and not told."""
    made = await submit(store)
    commits.clear()
    unchanged = await store.apply(made.job_id, requests.release)
    assert unchanged.events == ()
    assert commits == []


async def test_progress_is_told_without_an_event(store: SqlStore, commits: list[list[Change]]) -> None:
    """A change without events is stored and told all the same."""
    job = await run(store)
    commits.clear()
    latest = Progress(1, 2, "half", 5)
    await store.apply(
        job.job_id, partial(running.progress, claim=job.claim, instance=job.instance, latest=latest)
    )
    assert [(done.job.progress, done.events) for told in commits for done in told] == [(latest, ())]
    assert (await now(store, job)).progress == latest


async def test_places_in_the_log_rise_without_reuse(store: SqlStore, url: str) -> None:
    """Every event has its own place (writer, seq), counted from one without a gap, failed batches
    included.
    """
    jobs = [await submit(store) for _ in range(4)]
    await asyncio.gather(
        *(store.apply(job.job_id, describe(NO_UTF8 if job is jobs[1] else "fine")) for job in jobs),
        return_exceptions=True,
    )
    with connected(url) as connection:
        places = connection.exec_driver_sql("SELECT writer, seq FROM job_event ORDER BY writer, seq").all()
    assert places == [(1, seq) for seq in range(1, 8)]


async def test_close_writes_what_was_asked(url: str) -> None:
    """Work put before close is answered and stored; after it, everything is refused."""
    first = SqlStore.open(url)
    pending = [asyncio.ensure_future(submit(first)) for _ in range(20)]
    await asyncio.sleep(0)  # They have been put, none is answered.
    await first.close()
    made = await asyncio.gather(*pending)
    with pytest.raises(StoreUnavailable):
        await submit(first)
    with pytest.raises(StoreUnavailable):
        await now(first, made[0])
    second = SqlStore.open(url)
    assert [(await now(second, job)) for job in made] == made
    await second.close()


async def test_a_store_that_cannot_be_opened_leaves_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the last thread that it needs is not to be had, those before it end, its connections
    are closed, and it can be opened later.
    """
    start = threading.Thread.start
    wanted = [SqlStore.open(url, durable=False)]
    writers = len(wanted[0]._writers._all)
    await wanted[0].close()
    before, started = set(threading.enumerate()), []

    def none_left(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == writers:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            SqlStore.open(url, durable=False)
    assert len(started) == writers
    assert set(threading.enumerate()) == before
    await SqlStore.open(url, durable=False).close()


async def test_a_caller_that_leaves_harms_nobody(store: SqlStore) -> None:
    """Work whose caller has gone is done all the same, and others are answered."""
    made = await submit(store)
    leaving = asyncio.ensure_future(store.apply(made.job_id, describe("done")))
    await asyncio.sleep(0)
    leaving.cancel()
    other = await submit(store)
    assert (await now(store, made)).description == "done"
    assert (await now(store, other)) == other


async def test_a_replaced_run_writes_nothing(store: SqlStore) -> None:
    """A run whose claim was given back and taken anew cannot write any more."""
    job = await run(store)
    await store.apply(job.job_id, partial(running.return_permit, claim=job.claim, instance=job.instance))
    [newer] = await claim(store)
    with pytest.raises(StaleClaim):
        await finish(store, job, result="1")
    assert await now(store, job) == newer.job


@pytest.mark.only("sqlite")
async def test_the_log_is_written_back_when_idle(store: SqlStore, url: str) -> None:
    """Once nothing has come for a while the write-ahead log is cut to nothing, so an idle store is
    one file.
    """
    await submit(store)
    log = file_of(url).with_suffix(".db-wal")
    assert log.stat().st_size > 0
    async with asyncio.timeout(30):
        while log.stat().st_size > 0:  # noqa: ASYNC110 a file sends no event
            await asyncio.sleep(0.05)


@pytest.mark.only("sqlite")
async def test_polls_do_not_keep_the_log(store: SqlStore, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Claims and timers that find nothing, as a server asks them every second, do not put off the
    writing back.
    """
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.2)
    await submit(store, "unknown")
    log = file_of(url).with_suffix(".db-wal")
    assert log.stat().st_size > 0
    async with asyncio.timeout(30):
        while log.stat().st_size > 0:
            assert await claim(store) == []
            assert await store.run_timers() is None
            await asyncio.sleep(0.01)


@pytest.mark.only("sqlite")
async def test_a_log_that_a_reader_holds_is_cut_later(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A reader that is in the way when the log is to be written back only puts it off."""
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.01)
    database = type(store._database)
    cut = database.write_back
    tries: list[bool] = []
    monkeypatch.setattr(
        database, "write_back", lambda itself, engine: tries.append(cut(itself, engine)) or tries[-1]
    )
    log = file_of(url).with_suffix(".db-wal")
    with closing(sqlite3.connect(file_of(url), isolation_level=None)) as reader:
        await submit(store)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job").fetchone()
        await submit(store)
        async with asyncio.timeout(30):
            while tries.count(False) < 2:  # noqa: ASYNC110 another thread sends no event
                await asyncio.sleep(0.01)
        reader.execute("COMMIT")
    async with asyncio.timeout(30):
        while log.stat().st_size > 0:  # noqa: ASYNC110 a file sends no event
            await asyncio.sleep(0.01)


async def test_a_log_that_cannot_be_written_back_harms_nobody(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When writing the log back fails, the writer goes on: later work is answered."""
    failed = threading.Event()

    def fail(*_: Any) -> bool:
        failed.set()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(type(store._database), "write_back", fail)
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.01)
    await submit(store)
    await asyncio.to_thread(failed.wait)
    made = await submit(store)
    assert await now(store, made) == made
