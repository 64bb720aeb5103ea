"""What time brings, and a death: waits that end, jobs that expire, recovery."""

from functools import partial

from contract.operations import LOST, NOON, SECOND, Clock, claim, finish, now, run, stop, submit

from headrace_server.domain import requests
from headrace_server.domain.change import Change
from headrace_server.domain.job import ErrorKind, JobError, Status
from headrace_server.domain.spec import RetryPolicy
from headrace_server.store import SqlStore


async def test_a_job_is_ready_when_its_time_has_come(store: SqlStore, clock: Clock) -> None:
    """run_after is a timer: before it the next time is answered, at it the job can be claimed."""
    made = await submit(store, run_after=NOON + 10 * SECOND)
    assert await store.run_timers() == NOON + 10 * SECOND
    assert await claim(store) == []
    clock.pass_time(10)
    assert await store.run_timers() is None
    [taken] = await claim(store)
    assert taken.job.job_id == made.job_id


async def test_a_retry_waits_for_its_backoff(store: SqlStore, clock: Clock) -> None:
    """A failed attempt is ready again when its backoff is over, and not before."""
    job = await run(store, retry=RetryPolicy(max_attempts=2, initial_backoff=SECOND))
    failed = await finish(store, job, error=JobError(ErrorKind.EXCEPTION, "it broke"))
    assert await store.run_timers() == failed.job.due_time
    clock.pass_time(2)
    assert await store.run_timers() is None
    assert [taken.job.attempt for taken in await claim(store)] == [2]


async def test_a_job_that_has_not_started_expires(
    store: SqlStore, clock: Clock, commits: list[list[Change]]
) -> None:
    """Held, queued and claimed jobs whose expire_time passes are FAILED with EXPIRED, and that is
    told.
    """
    expiry = NOON + 5 * SECOND
    claimed = await submit(store, expire_time=expiry)
    await claim(store, permit=False)
    held = await submit(store, hold=True, expire_time=expiry)
    waiting = await submit(store, run_after=NOON + SECOND, expire_time=expiry)
    clock.pass_time(5)
    commits.clear()
    assert await store.run_timers() is None
    for job in (claimed, held, waiting):
        after = await now(store, job)
        assert after.status is Status.FAILED
        assert after.error is not None
        assert after.error.kind is ErrorKind.EXPIRED
    assert len(commits) == 1
    assert len(commits[0]) == 3


async def test_a_started_job_expires_no_more(store: SqlStore, clock: Clock) -> None:
    """expire_time is for the start of the first attempt: once that has begun there is no timer."""
    await run(store, expire_time=NOON + SECOND)
    clock.pass_time(5)
    assert await store.run_timers() is None


async def test_timers_follow_the_job(store: SqlStore) -> None:
    """A timer moves when its time is changed and is gone when its job ends."""
    made = await submit(store, run_after=NOON + SECOND, expire_time=NOON + 9 * SECOND)
    assert await store.run_timers() == NOON + SECOND
    await store.apply(made.job_id, partial(requests.update, fields={"run_after": None}, etag=""))
    assert await store.run_timers() == NOON + 9 * SECOND
    await store.apply(made.job_id, partial(requests.update, fields={"expire_time": NOON + 3}, etag=""))
    assert await store.run_timers() == NOON + 3
    await stop(store, made)
    assert await store.run_timers() is None


async def test_many_timers_take_several_calls(store: SqlStore, clock: Clock) -> None:
    """A call carries out a bounded number of timers, oldest first, and answers a time in the past
    when more are due.
    """
    for number in range(510):
        await submit(store, run_after=NOON + SECOND + number)
    clock.pass_time(5)
    assert await store.run_timers() == NOON + SECOND + 500
    assert await store.run_timers() is None
    assert len(await claim(store, 600)) == 510


async def test_recovery_settles_what_was_held(store: SqlStore, commits: list[list[Change]]) -> None:
    """After a death: claimed jobs go back at no cost, begun ones are tried again or FAILED, stopped
    ones ABORTED.
    """
    again = await run(store, retry=RetryPolicy(max_attempts=2, initial_backoff=0))
    failed = await run(store)
    stopped = await run(store)
    await stop(store, stopped)
    claimed = await submit(store)
    await claim(store, permit=False)
    queued = await submit(store)
    commits.clear()
    assert await store.recover(LOST, confirmed=True) == 4
    states = {job.job_id: await now(store, job) for job in (again, failed, stopped, claimed, queued)}
    assert states[again.job_id].status is Status.QUEUED
    assert states[failed.job_id].status is Status.FAILED
    assert states[failed.job_id].error == LOST
    assert states[stopped.job_id].status is Status.ABORTED
    assert (states[claimed.job_id].status, states[claimed.job_id].attempt) == (Status.QUEUED, 0)
    assert states[queued.job_id] == queued
    assert len(commits) == 1
    assert {done.job.job_id: done.job for done in commits[0]} == {
        job_id: state for job_id, state in states.items() if job_id != queued.job_id
    }
    assert await store.recover(LOST, confirmed=True) == 0
    assert len(await claim(store, 9)) == 3


async def test_recovery_of_many_is_one_transaction(store: SqlStore, commits: list[list[Change]]) -> None:
    """More held jobs than a page are settled in one commit."""
    for _ in range(510):
        await submit(store)
    assert len(await claim(store, 510, permit=False)) == 510
    commits.clear()
    assert await store.recover(LOST, confirmed=False) == 510
    assert [len(told) for told in commits] == [510]
