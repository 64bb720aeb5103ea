"""The domain's functions: every legal move, and nothing else."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_server.domain import expiry, requests, running
from headrace_server.domain.change import Change, Message, Outcome, merge
from headrace_server.domain.errors import EtagMismatch, JobLocked, StaleClaim, WrongStatus
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import MOVES, RETRIED, ErrorKind, Job, JobError, Status, StopPhase
from headrace_server.domain.spec import BACKOFF_MAX, RetryPolicy, Spec

NOW = 1_700_000_000_000_000
FENCE = {"claim": 1, "instance": "me"}
BROKEN = JobError(ErrorKind.EXCEPTION, "broken")


def new(*, hold: bool = False, **spec: object) -> Job:
    """A job just submitted."""
    return requests.create("j", "t", Spec(type="x", **spec), NOW, hold=hold).job  # type: ignore[arg-type]


def started(**spec: object) -> Job:
    """A job in its first attempt."""
    job = running.claim(new(**spec), NOW, instance="me", worker="w").job
    return running.permit(job, NOW, **FENCE, worker="w").job  # type: ignore[arg-type]


def finish(job: Job, **outcome: object) -> Change:
    """The end of its run."""
    return running.finish(job, NOW, claim=job.claim, instance="me", outcome=Outcome(**outcome))  # type: ignore[arg-type]


def stopped(job: Job, grace: int = 10) -> Job:
    """The job after a stop was asked for."""
    return requests.request_stop(job, NOW, grace=grace, reason="why", requested_by="who").job


def test_created_held_is_pending() -> None:
    """A held job is PENDING and has one event; one that is not held is QUEUED and ready."""
    assert new(hold=True).status is Status.PENDING
    assert new().ready


def test_waits_for_run_after() -> None:
    """A job with run_after is not ready before its time, and promote makes it ready then."""
    job = new(run_after=NOW + 5)
    assert not job.ready
    assert expiry.promote(job, NOW + 4).job == job
    assert expiry.promote(job, NOW + 5).job.ready


def test_release_is_idempotent() -> None:
    """Releasing a released job changes nothing, even after its end; one that ended while held
    cannot be released.
    """
    job = requests.release(new(hold=True), NOW).job
    assert requests.release(job, NOW).events == ()
    assert requests.release(finish(started()).job, NOW).events == ()
    with pytest.raises(WrongStatus):
        requests.release(stopped(new(hold=True)), NOW)


def test_claim_and_attempt_count_different_things() -> None:
    """A claim that is given back costs no attempt; a permit costs one."""
    job = running.claim(new(), NOW, instance="me", worker="w").job
    back = running.give_back(job, NOW, **FENCE).job  # type: ignore[arg-type]
    again = running.claim(back, NOW, instance="me", worker="w").job
    assert (again.claim, again.attempt) == (2, 0)
    assert running.permit(again, NOW, claim=2, instance="me", worker="w").job.attempt == 1


def test_unused_permit_costs_nothing() -> None:
    """A permit whose job never began goes back to the queue without an attempt or a start."""
    job = running.return_permit(started(), NOW, **FENCE).job  # type: ignore[arg-type]
    assert (job.status, job.attempt, job.attempts, job.start_time) == (Status.QUEUED, 0, (), None)


def test_unused_permit_with_a_stop_is_aborted() -> None:
    """A stop that was committed forbids the way back to the queue."""
    job = running.return_permit(stopped(started()), NOW, **FENCE).job  # type: ignore[arg-type]
    assert job.status is Status.ABORTED
    assert job.stop is not None
    assert job.stop.confirmed


@pytest.mark.parametrize("claim", [0, 2])
def test_fence(claim: int) -> None:
    """A write of a run with another claim is refused."""
    with pytest.raises(StaleClaim):
        running.finish(started(), NOW, claim=claim, instance="me", outcome=Outcome())


def test_returned_is_succeeded_with_its_result() -> None:
    """A return ends the attempt, sets the result and is SUCCEEDED."""
    done = finish(started(), result="1")
    assert done.job.status is Status.SUCCEEDED
    assert done.results == {"": "1"}
    assert done.job.attempts[0].end_time == NOW


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_retry_rules(kind: ErrorKind) -> None:
    """Only the retried kinds go back to the queue, and only while attempts are left."""
    error = JobError(kind, "x")
    job = finish(started(retry=RetryPolicy(max_attempts=2)), error=error).job
    expected = Status.QUEUED if kind in RETRIED else Status.FAILED
    assert job.status is expected
    assert finish(started(), error=error).job.status is Status.FAILED


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(9, 1_000, 1e160, 0),
        RetryPolicy(9, 1_000, 1e160, 2**70),
        RetryPolicy(9, 2**70, 2.0, 2**70),
        RetryPolicy(9, 0, 1e300, 2**63),
        RetryPolicy(9, 1, float("nan"), 2**62),
        RetryPolicy(9, -(2**70), 2.0, -5),
    ],
)
def test_a_wait_is_bounded_whatever_the_policy_says(policy: RetryPolicy) -> None:
    """A policy that an earlier version has stored unchecked gives waits up to a year, so that every
    end can be written.
    """
    assert all(0 <= policy.backoff(attempt) <= BACKOFF_MAX for attempt in (1, 2, 3, 1000))
    queued = finish(started(retry=policy), error=BROKEN).job
    assert queued.status is Status.QUEUED
    assert NOW <= (queued.next_attempt_time or 0) < NOW + 2 * BACKOFF_MAX


def in_short(job: Job, refusal: str = "refused", **outcome: object) -> Job:
    """Its run ends with what the store takes of this outcome."""
    error = running.not_stored(Outcome(**outcome), ValueError(refusal))  # type: ignore[arg-type]
    return running.end_in_short(job, NOW, **FENCE, error=error).job  # type: ignore[arg-type]


def test_an_end_in_short() -> None:
    """It is FAILED without another attempt, with the kind that it had and no word of the job's; a
    stop makes it ABORTED.
    """
    job = started(retry=RetryPolicy(max_attempts=5))
    ended = in_short(job, "cannot encode 'ü😀\0'\nmore", error=BROKEN)
    assert (ended.status, ended.error and ended.error.kind) == (Status.FAILED, ErrorKind.EXCEPTION)
    assert ended.error is not None
    assert ended.error.message.isascii()
    assert "more" not in ended.error.message
    assert ended.attempts[-1].end_time == NOW
    returned = in_short(job, result="1")
    assert returned.error is not None
    assert returned.error.kind is ErrorKind.RESULT_NOT_SERIALIZABLE
    aborted = in_short(stopped(job), result="1")
    assert (aborted.status, aborted.stop and aborted.stop.confirmed) == (Status.ABORTED, True)
    assert in_short(replace(job, attempts=()), result="1").status is Status.FAILED


def test_backoff_grows_to_its_most() -> None:
    """Waits are multiplied and bounded, also after a thousand attempts."""
    policy = RetryPolicy(1000, 10, 2.0, 1000)
    assert [policy.backoff(n) for n in (1, 2, 3, 8, 1000)] == [10, 20, 40, 1000, 1000]


def test_retry_waits_for_its_time() -> None:
    """A failed attempt is queued for a time that is the backoff with at most a tenth of jitter."""
    job = finish(started(retry=RetryPolicy(max_attempts=2)), error=BROKEN).job
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
    """With a stop: a return that the stop had not reached, or that insists, is SUCCEEDED; all else
    is ABORTED.
    """
    job = finish(stopped(started(retry=RetryPolicy(max_attempts=5))), **outcome).job
    assert job.status is status
    assert job.stop is not None
    assert job.stop.phase is StopPhase.ENDED


@pytest.mark.parametrize("hold", [True, False])
def test_stop_before_the_start_is_immediate(hold: bool) -> None:
    """A job that has not started is ABORTED by the request itself."""
    job = stopped(new(hold=hold))
    assert job.status is Status.ABORTED


def test_second_stop_only_brings_the_kill_forward() -> None:
    """A later stop with as much grace changes nothing; one with less moves kill_time, and the log
    says so.
    """
    job = stopped(started(), grace=100)
    assert stopped(job, grace=100) == job
    again = requests.request_stop(job, NOW + 5, grace=50, reason="", requested_by="")
    assert again.job.stop == replace(job.stop, kill_time=NOW + 55, grace=50)  # type: ignore[type-var] # there is one
    (told,) = again.events
    assert (told.kind, told.body) == (EventKind.UPDATED, {"paths": ["stop.kill_time"]})


@pytest.mark.parametrize("off", [-3600, 3600])
def test_second_stop_by_another_clock(off: int) -> None:
    """Who is asked an hour off: the shorter grace counts, and kill_time stays between the request
    and what it was.
    """
    job = stopped(started(), grace=100)
    later = requests.request_stop(job, NOW + off, grace=50, reason="", requested_by="").job
    assert later.stop is not None
    assert later.stop.grace == 50
    assert later.stop.kill_time == (NOW + 50 if off < 0 else NOW + 100)


def test_expiry_binds_until_the_first_start() -> None:
    """A job that has not started by expire_time is FAILED(EXPIRED); a retry is not."""
    job = expiry.expire(new(expire_time=NOW), NOW).job
    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error.kind is ErrorKind.EXPIRED
    again = finish(started(expire_time=NOW + 5, retry=RetryPolicy(max_attempts=2)), error=BROKEN).job
    assert expiry.expire(again, NOW + 9).job.status is Status.QUEUED


def test_permit_of_an_expired_job_expires_it() -> None:
    """Between claim and permit an expire_time may pass: no code runs then."""
    job = running.claim(new(expire_time=NOW + 1), NOW, instance="me", worker="w").job
    assert running.permit(job, NOW + 1, **FENCE, worker="w").job.status is Status.FAILED  # type: ignore[arg-type]


def test_messages_are_bounded() -> None:
    """Messages over the limit of the attempt are counted, and the count is logged at its end."""
    job = started()
    for _ in range(2):
        job = running.log(
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
    assert requests.update(job, NOW, fields={"priority": 0}, etag="").job == job
    updated = requests.update(job, NOW, fields={"priority": 9}, etag=job.etag).job
    assert updated.etag != job.etag
    with pytest.raises(EtagMismatch):
        requests.update(updated, NOW, fields={"priority": 1}, etag=job.etag)


def test_update_of_a_finished_job() -> None:
    """A job that has ended takes a description, and refuses a priority."""
    job = finish(started()).job
    assert requests.update(job, NOW, fields={"description": "d"}, etag="").job.description == "d"
    with pytest.raises(WrongStatus):
        requests.update(job, NOW, fields={"priority": 9}, etag="")


def test_delete_needs_an_end_and_no_lock() -> None:
    """Only a job that has ended and is not locked may be deleted."""
    with pytest.raises(WrongStatus):
        requests.check_delete(started())
    with pytest.raises(JobLocked):
        requests.check_delete(replace(finish(started()).job, locked=True))
    requests.check_delete(finish(started()).job)


def test_recovery_follows_the_attempt_rule() -> None:
    """What a lost instance left: TO_BE_RUN goes back at no cost, RUNNING is queued again or FAILED."""
    lost = JobError(ErrorKind.INSTANCE_LOST, "gone")
    claimed = running.claim(new(), NOW, instance="me", worker="w").job
    assert running.recover(claimed, NOW, error=lost, confirmed=True).job.status is Status.QUEUED
    assert running.recover(started(), NOW, error=lost, confirmed=True).job.status is Status.FAILED
    twice = started(retry=RetryPolicy(max_attempts=2))
    assert running.recover(twice, NOW, error=lost, confirmed=True).job.status is Status.QUEUED


@pytest.mark.parametrize("expire_time", [None, NOW, NOW + 1])
@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_a_job_is_taken_as_it_is_claimed_and_permitted(attempts: int, expire_time: int | None) -> None:
    """Claim and start permit in one give the job, the events and the results that both would."""
    job = new(expire_time=expire_time, retry=RetryPolicy(max_attempts=9))
    for _ in range(attempts):
        run = running.take(replace(job, due_time=None), NOW - 1, instance="me", worker="w").job
        job = finish(run, error=BROKEN).job
    claimed = running.claim(job, NOW, instance="other", worker="v")
    permitted = running.permit(claimed.job, NOW, claim=claimed.job.claim, instance="other", worker="v")
    taken = running.take(job, NOW, instance="other", worker="v")
    assert taken == merge(claimed, permitted)
    expires = expire_time == NOW and not attempts
    assert taken.job.status is (Status.FAILED if expires else Status.RUNNING)


ACTS = {
    "release": requests.release,
    "claim": lambda job, now: (
        running.claim(job, now, instance="me", worker="w") if job.ready else Change(job)
    ),
    "permit": lambda job, now: (
        running.permit(job, now, claim=job.claim, instance="me", worker="w")
        if job.status is Status.TO_BE_RUN
        else Change(job)
    ),
    "give_back": lambda job, now: (
        running.give_back(job, now, claim=job.claim, instance="me")
        if job.status is Status.TO_BE_RUN
        else Change(job)
    ),
    "return": lambda job, now: running.return_permit(job, now, claim=job.claim, instance="me"),
    "succeed": lambda job, now: running.finish(
        job, now, claim=job.claim, instance="me", outcome=Outcome(result="1")
    ),
    "fail": lambda job, now: running.finish(
        job, now, claim=job.claim, instance="me", outcome=Outcome(error=BROKEN)
    ),
    "stop": partial(requests.request_stop, grace=1, reason="", requested_by=""),
    "expire": expiry.expire,
    "promote": expiry.promote,
    "update": lambda job, now: requests.update(job, now, fields={"description": str(now)}, etag=""),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 3_000_000)), max_size=40))
def test_any_history_is_legal(acts: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order: moves are legal, revisions gap-free, a terminal job never
    moves again.
    """
    job = new(retry=RetryPolicy(max_attempts=3), expire_time=NOW + 9_000_000)
    now, revision = NOW, job.revision
    for name, pause in acts:
        now += pause
        before = job
        try:
            done = ACTS[name](job, now)
        except (StaleClaim, WrongStatus):
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
