"""Retention and purge: what goes, what stays, and who sweeps."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from contract.operations import (
    FAULT,
    SECOND,
    Clock,
    end,
    finish,
    found,
    now,
    page,
    run,
    stop,
    submission,
    submit,
)
from contract.tables import connected
from sqlalchemy import func, select

from headrace_server.domain import requests
from headrace_server.domain.errors import JobNotFound
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports.retention import SweepResult
from headrace_server.domain.retention import PORTION_EVENTS, PORTION_JOBS, Retention, portion
from headrace_server.store import SqlStore
from headrace_server.store.tables import schema

DAY = 86_400
WEEK = Retention(succeeded=DAY * SECOND, failed=7 * DAY * SECOND, aborted=None)
TABLES = (schema.job, schema.job_parameters, schema.job_result, schema.job_event)


def sizes(url: str, *tables: object) -> list[int]:
    """How many rows there are in each table."""
    with connected(url) as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]
            for table in tables or TABLES
        ]


async def sweep(store: SqlStore, retention: Retention = WEEK, turn: int | None = None) -> int:
    """Sweep until nothing is left; how many jobs went."""
    jobs, swept = 0, SweepResult(0, mine=True, more=True)
    while swept.more:
        swept = await store.sweep(retention, turn)
        assert swept.mine
        jobs, turn = jobs + swept.jobs, swept.turn
    return jobs


async def lock(store: SqlStore, job: Job, *, locked: bool = True) -> None:
    """Lock a job."""
    await store.apply(job.job_id, partial(requests.update, fields={"locked": locked}, etag=""))


async def ended(store: SqlStore) -> dict[Status, Job]:
    """A job in each status that is an end."""
    failed = await finish(store, await run(store), error=FAULT)
    aborted = await stop(store, await submit(store))
    return {job.status: job for job in (await end(store), failed.job, aborted.job)}


async def test_each_status_has_its_time(store: SqlStore, clock: Clock) -> None:
    """A job goes when the retention of its status is over, not before; without one it stays for
    ever.
    """
    jobs = await ended(store)
    waiting = await submit(store)
    clock.pass_time(DAY)
    assert await sweep(store) == 0
    clock.pass_time(1)
    assert await sweep(store) == 1
    with pytest.raises(JobNotFound):
        await now(store, jobs[Status.SUCCEEDED])
    clock.pass_time(6 * DAY)
    assert await sweep(store) == 1
    clock.pass_time(1000 * DAY)
    assert await sweep(store) == 0
    assert await found(store, page()) == [jobs[Status.ABORTED].job_id, waiting.job_id]


async def test_nothing_of_a_job_is_left(store: SqlStore, clock: Clock, url: str) -> None:
    """Parameters, results, history and an old request_id go with the job; those of others stay."""
    for _ in range(3):
        await end(store, parameters='{"n":1}', request_id=f"r{clock.now}")
        clock.pass_time(1)
    clock.pass_time(DAY)
    kept = await end(store, request_id="kept")
    assert await sweep(store) == 3
    assert sizes(url, *TABLES, schema.request) == [1, 1, 1, kept.revision, 1]


async def test_locked_jobs_stay(store: SqlStore, clock: Clock) -> None:
    """A locked job is exempt for as long as it is locked, from retention and from a purge."""
    job = await end(store)
    await lock(store, job)
    clock.pass_time(2 * DAY)
    assert await sweep(store) == 0
    assert await store.purge([job.job_id], tenant="default") == 0
    await lock(store, job, locked=False)
    assert await sweep(store) == 1


async def test_a_lock_in_the_same_moment_wins(store: SqlStore, clock: Clock) -> None:
    """A lock that comes with the batch of the sweep keeps its job."""
    job = await end(store)
    clock.pass_time(2 * DAY)
    _, swept = await asyncio.gather(lock(store, job), store.sweep(WEEK, None))
    assert swept.jobs == 0
    assert (await now(store, job)).locked


async def test_sweeps_are_small(store: SqlStore, clock: Clock, url: str) -> None:
    """A step deletes a portion and says that there is more; what is not old enough is never met."""
    ids = [submission(hold=True) for _ in range(PORTION_JOBS + 50)]
    jobs = await asyncio.gather(*(store.submit(asked) for asked in ids))
    await asyncio.gather(*(stop(store, one.job.job) for one in jobs))
    clock.pass_time(10)
    soon = Retention(None, None, 5 * SECOND)
    first = await store.sweep(soon, None)
    assert (first.jobs, first.mine, first.more) == (PORTION_JOBS, True, True)
    second = await store.sweep(soon, first.turn)
    assert (second.jobs, second.mine, second.more) == (50, True, False)
    assert sizes(url) == [0, 0, 0, 0]


async def test_a_portion_counts_events(store: SqlStore) -> None:
    """Jobs with long histories go fewer at a time, one at least."""
    job = (await stop(store, await submit(store))).job
    long = replace(job, revision=PORTION_EVENTS)
    assert portion([long, long]) == [long]
    assert portion([job, job, long]) == [job, job]
    assert portion([job] * (PORTION_JOBS + 1)) == [job] * PORTION_JOBS


async def test_request_ids_are_remembered_for_a_day(store: SqlStore, clock: Clock, url: str) -> None:
    """A request_id is remembered 24 h from its submit though its job was deleted, and forgotten
    then.
    """
    first = submission(request_id="r")
    made = (await store.submit(first)).job.job
    await stop(store, made)
    await store.delete(made.job_id, tenant="default")
    clock.pass_time(DAY - 1)
    assert await sweep(store) == 0
    with pytest.raises(JobNotFound):
        await store.submit(submission(request_id="r"))
    clock.pass_time(1)
    await sweep(store)
    assert sizes(url, schema.request) == [0]
    assert not (await store.submit(submission(request_id="r"))).existing


async def test_the_request_id_of_a_job_that_stays_is_not_forgotten(store: SqlStore, clock: Clock) -> None:
    """While its job exists a request_id is remembered, however old it is."""
    made = (await store.submit(submission(request_id="r", hold=True))).job.job
    clock.pass_time(400 * DAY)
    await sweep(store)
    again = await store.submit(submission(request_id="r", hold=True))
    assert (again.existing, again.job.job.job_id) == (True, made.job_id)


async def test_purge(store: SqlStore) -> None:
    """A purge deletes those of the named jobs that have ended, are not locked and belong to the
    tenant.
    """
    gone, locked, waiting = await end(store), await end(store), await submit(store)
    other = (await stop(store, await submit(store, tenant="other"))).job
    await lock(store, locked)
    ids = [job.job_id for job in (gone, locked, waiting, other)]
    assert await store.purge([*ids, "nowhere"], tenant="default") == 1
    assert await found(store, page(tenant=None)) == ids[1:]
    assert await store.purge(ids, tenant="default") == 0


async def test_nobody_sweeps_behind_another(store: SqlStore, clock: Clock) -> None:
    """Who comes with a turn that has passed deletes nothing, and learns which it is."""
    await ended(store)
    clock.pass_time(2 * DAY)
    mine = await store.sweep(WEEK, None)
    assert mine.jobs == 1
    clock.pass_time(30 * DAY)
    late = await store.sweep(WEEK, mine.turn - 1)
    assert late == SweepResult(mine.turn, mine=False)
    assert (await store.sweep(WEEK, late.turn)).jobs == 1


async def test_a_sweep_that_finds_nothing_writes_nothing(store: SqlStore) -> None:
    """At rest a sweep leaves the turn as it is."""
    first = await store.sweep(WEEK, None)
    assert first == await store.sweep(WEEK, first.turn) == SweepResult(0, mine=True)
