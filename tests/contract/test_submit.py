"""Submitting and finding again: jobs, payloads, request ids, deletion."""

import asyncio
from functools import partial

import pytest
from contract.operations import NOON, Clock, claim, end, finish, now, run, submission, submit
from contract.tables import connected

from headrace_server.domain import requests, running
from headrace_server.domain.change import Change, Message
from headrace_server.domain.errors import JobLocked, JobNotFound, RequestIdReused, WrongStatus
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import ErrorKind, JobError, Progress, Status
from headrace_server.domain.query import Payload
from headrace_server.domain.spec import RetryPolicy
from headrace_server.store import SqlStore


async def test_submitted_job_is_stored_as_answered(store: SqlStore) -> None:
    """A job read back equals the one answered, field by field, parameters included."""
    asked = submission(
        "image.resize",
        parameters='{"file":"a.png","width":32}',
        description="a picture",
        owner="ann",
        session_id="s1",
        queue="fast",
        priority=7,
        labels={"team": "blue", 'a "quoted" label': "ü"},
        expire_time=NOON + 5,
        timeout=60,
        retry=RetryPolicy(max_attempts=3, multiplier=1.5),
    )
    answer = await store.submit(asked)
    assert not answer.existing
    assert answer.job.payload == Payload('{"file":"a.png","width":32}', None, {})
    assert await store.get(asked.job_id, tenant="default", payload=True) == answer.job


async def test_every_state_of_a_job_is_read_back_as_written(store: SqlStore) -> None:
    """Whatever a run leaves on a job (attempts, errors, progress, stop) is read back equal."""
    job = await run(store, retry=RetryPolicy(max_attempts=2, initial_backoff=0))
    latest = Progress(3, 10, "so far", NOON, 30.0, NOON + 9)
    fence = {"claim": job.claim, "instance": job.instance}
    changed = await store.apply(job.job_id, partial(running.progress, **fence, latest=latest))
    assert await now(store, job) == changed.job
    failed = await finish(store, job, error=JobError(ErrorKind.EXCEPTION, "it broke", step="load"))
    assert failed.job.status is Status.QUEUED
    assert await now(store, job) == failed.job
    [again] = await claim(store)
    assert again.job.attempt == 2
    stopping = await store.apply(
        job.job_id, partial(requests.request_stop, grace=5, reason="why not", requested_by="me")
    )
    assert await now(store, job) == stopping.job
    ended = await finish(store, again.job, stop_seen=True)
    assert ended.job.status is Status.ABORTED
    assert await now(store, job) == ended.job


async def test_request_id_gives_the_same_job(store: SqlStore) -> None:
    """A repeated request_id answers the job of the first call as it stands, with its results."""
    first = await store.submit(submission(request_id="r1", parameters='{"n":1}'))
    [taken] = await claim(store)
    ended = await finish(store, taken.job, result="42")
    again = await store.submit(submission(request_id="r1", parameters='{"n":1}'))
    assert again.existing
    assert again.job.job == ended.job
    assert again.job.job.job_id == first.job.job.job_id
    assert again.job.payload == Payload('{"n":1}', "42", {})


async def test_request_id_with_another_spec_is_refused(store: SqlStore) -> None:
    """A request_id repeated with another digest is refused, naming the job that it made."""
    first = await store.submit(submission(request_id="r1", digest="a"))
    with pytest.raises(RequestIdReused, match=first.job.job.job_id):
        await store.submit(submission(request_id="r1", digest="b"))


async def test_request_id_belongs_to_its_tenant(store: SqlStore) -> None:
    """Two tenants may use the same request_id for two jobs."""
    first = await store.submit(submission(request_id="r1", tenant="acme"))
    second = await store.submit(submission(request_id="r1", tenant="birch"))
    assert not second.existing
    assert first.job.job.job_id != second.job.job.job_id


async def test_one_request_id_many_times_at_once(store: SqlStore, commits: list[list[Change]]) -> None:
    """A request_id submitted many times in one moment makes one job, and all callers get it."""
    answers = await asyncio.gather(*(store.submit(submission(request_id="r1")) for _ in range(20)))
    assert len({answer.job.job.job_id for answer in answers}) == 1
    assert [answer.existing for answer in answers] == [False] + [True] * 19
    assert sum(len(told) for told in commits) == 1


async def test_request_id_outlives_its_job(store: SqlStore) -> None:
    """A repeated submit whose job was deleted makes no second job: it is told that the first is
    gone.
    """
    ended = await end(store, request_id="r1")
    await store.delete(ended.job_id, tenant="default")
    with pytest.raises(JobNotFound, match=ended.job_id):
        await store.submit(submission(request_id="r1"))


async def test_delete_takes_everything(store: SqlStore, url: str) -> None:
    """A deleted job is gone with its payload and its history."""
    ended = await end(store, parameters='{"secret":1}')
    await store.delete(ended.job_id, tenant="default")
    with pytest.raises(JobNotFound):
        await store.get(ended.job_id, tenant="default", payload=True)
    assert await store.events(ended.job_id, after=0, limit=10) == []
    with connected(url) as connection:
        for table in ("job", "job_parameters", "job_result", "job_event", "ready", "timer"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0  # noqa: S608 names above


async def test_delete_asks_the_domain(store: SqlStore) -> None:
    """A job that has not ended, or is locked, is not deleted."""
    ended = await end(store)
    queued = await submit(store)
    with pytest.raises(WrongStatus):
        await store.delete(queued.job_id, tenant="default")
    await store.apply(ended.job_id, partial(requests.update, fields={"locked": True}, etag=""))
    with pytest.raises(JobLocked):
        await store.delete(ended.job_id, tenant="default")


async def test_a_job_of_another_tenant_is_not_found(store: SqlStore) -> None:
    """Reading, changing and deleting a job of another tenant all say that there is none."""
    ended = await end(store, tenant="acme")
    with pytest.raises(JobNotFound):
        await store.get(ended.job_id, tenant="birch", payload=False)
    with pytest.raises(JobNotFound):
        await store.apply(ended.job_id, requests.release, tenant="birch")
    with pytest.raises(JobNotFound):
        await store.delete(ended.job_id, tenant="birch")
    assert await now(store, ended) == ended


async def test_events_are_the_history(store: SqlStore, commits: list[list[Change]], clock: Clock) -> None:
    """The events read back are those told at each commit: gap-free, in order, pages continuing at a
    revision.
    """
    job = await run(store)
    clock.pass_time(1)
    messages = [Message(2, 1, f"line {number}") for number in range(5)]
    fence = {"claim": job.claim, "instance": job.instance}
    await store.apply(job.job_id, partial(running.log, **fence, messages=messages, limit=100))
    await finish(store, job, result="1")
    told = [event for changes in commits for done in changes for event in done.events]
    read = await store.events(job.job_id, after=0, limit=100)
    assert read == told
    assert [event.revision for event in read] == list(range(1, len(read) + 1))
    assert read[0].kind is EventKind.CREATED
    assert await store.events(job.job_id, after=2, limit=3) == read[2:5]
    assert await store.events("unknown", after=0, limit=3) == []


async def test_results_lie_beside_the_job(store: SqlStore) -> None:
    """Named results and the returned one are kept apart; a name set twice holds the last."""
    job = await run(store)
    fence = {"claim": job.claim, "instance": job.instance}
    for name, value in (("a", "1"), ("b", "2"), ("a", "3")):
        await store.apply(job.job_id, partial(running.set_result, **fence, name=name, value=value))
    await finish(store, job, result='"returned"')
    full = await store.get(job.job_id, tenant="default", payload=True)
    assert full.payload == Payload("{}", '"returned"', {"a": "3", "b": "2"})


async def test_a_new_attempt_clears_the_results(store: SqlStore) -> None:
    """What an earlier attempt has set is gone when the next one starts, what that one sets in the
    same moment stays.
    """
    job = await run(store, retry=RetryPolicy(max_attempts=2, initial_backoff=0))
    fence = {"claim": job.claim, "instance": job.instance}
    await store.apply(job.job_id, partial(running.set_result, **fence, name="old", value="1"))
    error = JobError(ErrorKind.EXCEPTION, "again")
    await finish(store, job, error=error)
    [taken] = await claim(store, permit=False)
    fence = {"claim": taken.job.claim, "instance": taken.job.instance}
    await asyncio.gather(
        store.apply(job.job_id, partial(running.permit, **fence, worker="w")),
        store.apply(job.job_id, partial(running.set_result, **fence, name="new", value="2")),
    )
    full = await store.get(job.job_id, tenant="default", payload=True)
    assert full.payload == Payload("{}", None, {"new": "2"})
