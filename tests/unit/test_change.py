"""The domain's functions: every legal move, and nothing else."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_server.domain import change
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.errors import EtagMismatch, JobLocked, Replaced, WrongStatus
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import MOVES, ErrorKind, Job, JobError, RetryPolicy, Spec, Status, StopPhase

NOW = 1_700_000_000_000_000
FENCE = {"claim": 1, "instance": "me"}
BROKEN = JobError(ErrorKind.EXCEPTION, "broken")


def new(*, hold: bool = False, **spec: object) -> Job:
    """A job just submitted."""
    return change.create("j", "t", Spec(type="x", **spec), NOW, hold=hold).job  # type: ignore[arg-type]


def running(**spec: object) -> Job:
    """A job in its first attempt."""
    job = change.claim(new(**spec), NOW, instance="me", worker="w").job
    return change.permit(job, NOW, **FENCE, worker="w").job  # type: ignore[arg-type]


def finish(job: Job, **outcome: object) -> Change:
    """The end of its run."""
    return change.finish(job, NOW, claim=job.claim, instance="me", outcome=Outcome(**outcome))  # type: ignore[arg-type]


def stopped(job: Job, grace: int = 10) -> Job:
    """The job after a stop was asked for."""
    return change.request_stop(job, NOW, grace=grace, reason="why", requested_by="who").job


def test_created_held_is_pending() -> None:
    """A held job is PENDING and has one event; one that is not held is QUEUED and ready."""
    assert new(hold=True).status is Status.PENDING
    assert new().ready


def test_waits_for_run_after() -> None:
    """A job with run_after is not ready before its time, and promote makes it ready then."""
    job = new(run_after=NOW + 5)
    assert not job.ready
    assert change.promote(job, NOW + 4).job == job
    assert change.promote(job, NOW + 5).job.ready


def test_release_is_idempotent() -> None:
    """Releasing a released job changes nothing; a job that has ended cannot be released."""
    job = change.release(new(hold=True), NOW).job
    assert change.release(job, NOW).events == ()
    with pytest.raises(WrongStatus):
        change.release(finish(running()).job, NOW)


def test_claim_and_attempt_count_different_things() -> None:
    """A claim that is given back costs no attempt; a permit costs one."""
    job = change.claim(new(), NOW, instance="me", worker="w").job
    back = change.give_back(job, NOW, **FENCE).job  # type: ignore[arg-type]
    again = change.claim(back, NOW, instance="me", worker="w").job
    assert (again.claim, again.attempt) == (2, 0)
    assert change.permit(again, NOW, claim=2, instance="me", worker="w").job.attempt == 1


def test_unused_permit_costs_nothing() -> None:
    """A permit whose job never began goes back to the queue without an attempt or a start."""
    job = change.return_permit(running(), NOW, **FENCE).job  # type: ignore[arg-type]
    assert (job.status, job.attempt, job.attempts, job.start_time) == (Status.QUEUED, 0, (), None)


def test_unused_permit_with_a_stop_is_aborted() -> None:
    """A stop that was committed forbids the way back to the queue."""
    job = change.return_permit(stopped(running()), NOW, **FENCE).job  # type: ignore[arg-type]
    assert job.status is Status.ABORTED
    assert job.stop is not None
    assert job.stop.confirmed


@pytest.mark.parametrize("claim", [0, 2])
def test_fence(claim: int) -> None:
    """A write of a run with another claim is refused."""
    with pytest.raises(Replaced):
        change.finish(running(), NOW, claim=claim, instance="me", outcome=Outcome())


def test_returned_is_succeeded_with_its_result() -> None:
    """A return ends the attempt, sets the result and is SUCCEEDED."""
    done = finish(running(), result="1")
    assert done.job.status is Status.SUCCEEDED
    assert done.results == {"": "1"}
    assert done.job.attempts[0].end_time == NOW


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_retry_rules(kind: ErrorKind) -> None:
    """Only the retried kinds go back to the queue, and only while attempts are left."""
    error = JobError(kind, "x")
    job = finish(running(retry=RetryPolicy(max_attempts=2)), error=error).job
    expected = Status.QUEUED if kind in change.RETRIED else Status.FAILED
    assert job.status is expected
    assert finish(running(), error=error).job.status is Status.FAILED


def test_backoff_grows_to_its_most() -> None:
    """Waits are multiplied and bounded, also after a thousand attempts."""
    policy = RetryPolicy(1000, 10, 2.0, 1000)
    assert [policy.backoff(n) for n in (1, 2, 3, 8, 1000)] == [10, 20, 40, 1000, 1000]


def test_retry_waits_for_its_time() -> None:
    """A failed attempt is queued for a time that is the backoff with at most a tenth of jitter."""
    job = finish(running(retry=RetryPolicy(max_attempts=2)), error=BROKEN).job
    assert job.next_attempt_time is not None
    assert 1_000_000 <= job.next_attempt_time - NOW <= 1_100_000
    assert job.due_time == job.next_attempt_time


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ({}, Status.SUCCEEDED),
        ({"stop_seen": True}, Status.ABORTED),
        ({"stop_seen": True, "insisted": True}, Status.SUCCEEDED),
        ({"error": BROKEN}, Status.ABORTED),
        ({"aborted": True}, Status.ABORTED),
    ],
)
def test_truth_of_a_stop(outcome: dict[str, object], status: Status) -> None:
    """With a stop: a return that the stop had not reached, or that insists, is SUCCEEDED; all else is ABORTED."""
    job = finish(stopped(running(retry=RetryPolicy(max_attempts=5))), **outcome).job
    assert job.status is status
    assert job.stop is not None
    assert job.stop.phase is StopPhase.ENDED


@pytest.mark.parametrize("hold", [True, False])
def test_stop_before_the_start_is_immediate(hold: bool) -> None:
    """A job that has not started is ABORTED by the request itself."""
    job = stopped(new(hold=hold))
    assert job.status is Status.ABORTED


def test_second_stop_only_brings_the_kill_forward() -> None:
    """A later stop with more grace changes nothing, one with less moves kill_time."""
    job = stopped(running(), grace=100)
    assert stopped(job, grace=200) == job
    sooner = stopped(job, grace=50)
    assert sooner.stop is not None
    assert sooner.stop.kill_time == NOW + 50


def test_expiry_binds_until_the_first_start() -> None:
    """A job that has not started by expire_time is FAILED(EXPIRED); a retry is not."""
    job = change.expire(new(expire_time=NOW), NOW).job
    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error.kind is ErrorKind.EXPIRED
    again = finish(running(expire_time=NOW + 5, retry=RetryPolicy(max_attempts=2)), error=BROKEN).job
    assert change.expire(again, NOW + 9).job.status is Status.QUEUED


def test_permit_of_an_expired_job_expires_it() -> None:
    """Between claim and permit an expire_time may pass: no code runs then."""
    job = change.claim(new(expire_time=NOW + 1), NOW, instance="me", worker="w").job
    assert change.permit(job, NOW + 1, **FENCE, worker="w").job.status is Status.FAILED  # type: ignore[arg-type]


def test_messages_are_bounded() -> None:
    """Messages over the limit of the attempt are counted, and the count is logged at its end."""
    job = running()
    for _ in range(2):
        job = change.log(
            job,
            NOW,
            **FENCE,
            messages=[Message(2, 1, "x")] * 3,
            limit=4,
            dropped=1,  # type: ignore[arg-type]
        ).job
    assert (job.message_count, job.dropped_count) == (4, 4)
    kinds = {event.kind: event.body for event in finish(job).events}
    assert kinds[EventKind.MESSAGES_DROPPED] == {"count": 4}


def test_update_changes_the_etag_once() -> None:
    """Wanted values that are there already leave the etag; others raise it; an old etag is refused."""
    job = new()
    assert change.update(job, NOW, fields={"priority": 0}, etag="").job == job
    updated = change.update(job, NOW, fields={"priority": 9}, etag=job.etag).job
    assert updated.etag != job.etag
    with pytest.raises(EtagMismatch):
        change.update(updated, NOW, fields={"priority": 1}, etag=job.etag)


def test_update_of_a_finished_job() -> None:
    """A job that has ended takes a description, and refuses a priority."""
    job = finish(running()).job
    assert change.update(job, NOW, fields={"description": "d"}, etag="").job.description == "d"
    with pytest.raises(WrongStatus):
        change.update(job, NOW, fields={"priority": 9}, etag="")


def test_delete_needs_an_end_and_no_lock() -> None:
    """Only a job that has ended and is not locked may be deleted."""
    with pytest.raises(WrongStatus):
        change.check_delete(running())
    with pytest.raises(JobLocked):
        change.check_delete(replace(finish(running()).job, locked=True))
    change.check_delete(finish(running()).job)


def test_recovery_follows_the_attempt_rule() -> None:
    """What a lost instance left: TO_BE_RUN goes back at no cost, RUNNING is queued again or FAILED."""
    lost = JobError(ErrorKind.INSTANCE_LOST, "gone")
    claimed = change.claim(new(), NOW, instance="me", worker="w").job
    assert change.recover(claimed, NOW, error=lost, confirmed=True).job.status is Status.QUEUED
    assert change.recover(running(), NOW, error=lost, confirmed=True).job.status is Status.FAILED
    twice = running(retry=RetryPolicy(max_attempts=2))
    assert change.recover(twice, NOW, error=lost, confirmed=True).job.status is Status.QUEUED


ACTS = {
    "release": change.release,
    "claim": lambda job, now: change.claim(job, now, instance="me", worker="w") if job.ready else Change(job),
    "permit": lambda job, now: (
        change.permit(job, now, claim=job.claim, instance="me", worker="w")
        if job.status is Status.TO_BE_RUN
        else Change(job)
    ),
    "give_back": lambda job, now: (
        change.give_back(job, now, claim=job.claim, instance="me")
        if job.status is Status.TO_BE_RUN
        else Change(job)
    ),
    "return": lambda job, now: change.return_permit(job, now, claim=job.claim, instance="me"),
    "succeed": lambda job, now: change.finish(
        job, now, claim=job.claim, instance="me", outcome=Outcome(result="1")
    ),
    "fail": lambda job, now: change.finish(
        job, now, claim=job.claim, instance="me", outcome=Outcome(error=BROKEN)
    ),
    "stop": partial(change.request_stop, grace=1, reason="", requested_by=""),
    "expire": change.expire,
    "promote": change.promote,
    "update": lambda job, now: change.update(job, now, fields={"description": str(now)}, etag=""),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 3_000_000)), max_size=40))
def test_any_history_is_legal(acts: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order: moves are legal, revisions gap-free, a terminal job never moves again."""
    job = new(retry=RetryPolicy(max_attempts=3), expire_time=NOW + 9_000_000)
    now, revision = NOW, job.revision
    for name, pause in acts:
        now += pause
        before = job
        try:
            done = ACTS[name](job, now)
        except (Replaced, WrongStatus):
            continue
        job = done.job
        for event in done.events:
            revision += 1
            assert event.revision == revision
            if event.kind is EventKind.STATUS_CHANGED:
                assert (Status(event.body["from"]), Status(event.body["to"])) in MOVES
        assert job.revision == revision
        assert job.attempt <= job.retry.max_attempts
        if before.status.final:
            assert (job.status, job.end_time, job.error) == (before.status, before.end_time, before.error)
