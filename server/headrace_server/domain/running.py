"""The decisions about a run, from its claim to its end.

    claim -> permit -> progress, log, set_result, stop_phase -> finish
      |        └─ return_permit: never begun                     ▲
      └─ give_back: not permitted          recover ──────────────┘ its instance is gone

Every write of a run names its claim: that is the fence. Retry rules and the truth of a stop are in
`finish`.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from headrace_server.domain.bounds import latest
from headrace_server.domain.change import Change, Draft, Message, Outcome, merge
from headrace_server.domain.errors import StaleClaim
from headrace_server.domain.event import EventKind
from headrace_server.domain.expiry import due, expire, expired
from headrace_server.domain.job import RETRIED, Attempt, ErrorKind, Job, JobError, Progress, Status, StopPhase

ATTEMPT_MESSAGE_MAX = 1000
"""The maximum length, in characters, of an error's message kept on the attempt.

With it, a thousand attempts still fit into one message.
"""

REFUSAL_MAX = 300
"""Characters of what the store has said that are kept."""


def claim(job: Job, now: int, *, instance: str, worker: str) -> Change:
    """An instance takes a ready job for one of its slots."""
    draft = Draft(job, now)
    _move_to_slot(draft, instance, worker)
    return draft.done()


def take(job: Job, now: int, *, instance: str, worker: str) -> Change:
    """Claim and start permit in one: the change that `claim` and then `permit` would make.

    Nearly every job is taken so, and a job in between would be made for nobody.
    """
    draft = Draft(job, now)
    _move_to_slot(draft, instance, worker)
    if expired(job, now):
        claimed = draft.done()
        return merge(claimed, expire(claimed.job, now))
    _move_to_code(draft, instance, worker)
    return draft.done(clear_results=job.attempt > 0)


def _move_to_slot(draft: Draft, instance: str, worker: str) -> None:
    draft.move(
        Status.TO_BE_RUN,
        claim=draft.job.claim + 1,
        instance=instance,
        worker=worker,
        next_attempt_time=None,
    )


def _move_to_code(draft: Draft, instance: str, worker: str) -> None:
    job = draft.job
    number = job.attempt + 1
    draft.move(
        Status.RUNNING,
        attempt=number,
        worker=worker,
        start_time=job.start_time if job.start_time is not None else draft.now,
        attempts=(*job.attempts, Attempt(number, draft.now, instance, worker)),
        progress=None,
        error=None,
        message_count=0,
        dropped_count=0,
    )


def holds(job: Job, claim: int, instance: str) -> bool:
    """Whether a claim still holds the job."""
    return (
        job.claim == claim and job.instance == instance and job.status in (Status.TO_BE_RUN, Status.RUNNING)
    )


def _fence(job: Job, claim: int, instance: str) -> None:
    if not holds(job, claim, instance):
        raise StaleClaim(f"job {job.job_id}: claim {claim} of {instance} no longer holds it")


def permit(job: Job, now: int, *, claim: int, instance: str, worker: str) -> Change:
    """The start permit: once this is on disk, and not before, the job's code may run."""
    _fence(job, claim, instance)
    if expired(job, now):
        return expire(job, now)
    draft = Draft(job, now)
    _move_to_code(draft, instance, worker)
    return draft.done(clear_results=job.attempt > 0)


def give_back(job: Job, now: int, *, claim: int, instance: str) -> Change:
    """A claim that got no permit: back to the queue, at no cost."""
    _fence(job, claim, instance)
    draft = Draft(job, now)
    draft.move(Status.QUEUED, due_time=due(job.run_after, None, now))
    return draft.done()


def return_permit(job: Job, now: int, *, claim: int, instance: str) -> Change:
    """Give back a permit whose job never began.

    The job returns to the queue at no cost, or is ABORTED when a stop was asked for.
    """
    _fence(job, claim, instance)
    draft = Draft(job, now)
    if job.status is Status.TO_BE_RUN:
        return give_back(job, now, claim=claim, instance=instance)
    if job.stop is not None:
        _end_attempt(draft, None)
        draft.end_stop(confirmed=True)
        draft.move(Status.ABORTED)
        return draft.done()
    attempts = job.attempts[:-1]
    draft.move(
        Status.QUEUED,
        attempt=job.attempt - 1,
        attempts=attempts,
        start_time=attempts[0].start_time if attempts else None,
        due_time=due(job.run_after, None, now),  # run_after may have been changed meanwhile
    )
    return draft.done()


def progress(job: Job, _now: int, *, claim: int, instance: str, latest: Progress) -> Change:
    """The latest progress: on the row, not in the log."""
    _fence(job, claim, instance)
    return Change(replace(job, progress=latest))


def log(
    job: Job,
    now: int,
    *,
    claim: int,
    instance: str,
    messages: Sequence[Message],
    limit: int,
    dropped: int = 0,
) -> Change:
    """Messages of a run; those beyond `limit` for the attempt are counted, not kept.

    dropped: how many more the pool has thrown away already.
    """
    _fence(job, claim, instance)
    draft = Draft(job, now)
    room = max(0, limit - job.message_count)
    for message in messages[:room]:
        draft.log(EventKind.MESSAGE_LOGGED, level=message.level, source=message.source, text=message.text)
    draft.set(
        message_count=job.message_count + min(room, len(messages)),
        dropped_count=job.dropped_count + max(0, len(messages) - room) + dropped,
    )
    return draft.done()


def set_result(job: Job, now: int, *, claim: int, instance: str, name: str, value: str) -> Change:
    """A named result, as the JSON text of a plain value."""
    _fence(job, claim, instance)
    draft = Draft(job, now)
    draft.log(EventKind.RESULT_SET, name=name)
    return draft.done(results={name: value})


def stop_phase(job: Job, now: int, *, claim: int, instance: str, phase: StopPhase) -> Change:
    """The stop of a run has reached its next phase. Phases only rise."""
    _fence(job, claim, instance)
    draft = Draft(job, now)
    if job.stop is not None and phase > job.stop.phase:
        kill_time = now if phase is StopPhase.KILLING else job.stop.kill_time
        draft.set(stop=replace(job.stop, phase=phase, kill_time=kill_time))
        draft.log(EventKind.STOP_CHANGED, phase=int(phase))
    return draft.done()


def finish(job: Job, now: int, *, claim: int, instance: str, outcome: Outcome) -> Change:
    """The run has ended: the retry rules and the truth of a stop.

    With a stop asked for: an exception, a timeout or a loss is ABORTED; a return is SUCCEEDED only
    if the stop had not reached the job's code, or if it called ctx.succeed. Without: a return is
    SUCCEEDED; an error of a retried kind goes back to the queue while attempts are left, and is
    FAILED otherwise.
    """
    _fence(job, claim, instance)
    if job.status is Status.TO_BE_RUN:
        return give_back(job, now, claim=claim, instance=instance)
    draft = Draft(job, now)
    error = outcome.error
    results: dict[str, str] = {}
    _end_attempt(draft, error)
    if job.dropped_count:
        draft.log(EventKind.MESSAGES_DROPPED, count=job.dropped_count)
    returned = error is None and not outcome.aborted
    if returned and (job.stop is None or outcome.insisted or not outcome.stop_seen):
        if outcome.result is not None:
            results[""] = outcome.result
            draft.log(EventKind.RESULT_SET, name="")
        draft.end_stop(confirmed=outcome.confirmed)
        draft.move(Status.SUCCEEDED)
    elif job.stop is not None or outcome.aborted:
        draft.end_stop(confirmed=outcome.confirmed)
        draft.move(Status.ABORTED, cause=error)
    elif error is not None and _retried(job, error, outcome):
        wait = job.retry.backoff(job.attempt)
        at = latest(now + wait + int(wait * 0.1 * random.random()))
        draft.move(Status.QUEUED, cause=error, next_attempt_time=at, due_time=due(job.run_after, at, now))
    else:
        draft.move(Status.FAILED, cause=error)
    return draft.done(results=results)


def end_in_short(
    job: Job, now: int, *, claim: int, instance: str, error: JobError, confirmed: bool = True
) -> Change:
    """Record an end that could not be written as it was.

    The job is FAILED without another attempt, or ABORTED where a stop was asked for.

    It adds to the row as little as it can, since something that the run said is what the store has
    refused: error is in words of the server's own.
    """
    _fence(job, claim, instance)
    draft = Draft(job, now)
    _end_attempt(draft, error)
    draft.end_stop(confirmed=confirmed)
    draft.move(Status.FAILED if job.stop is None else Status.ABORTED, cause=error)
    return draft.done()


def not_stored(outcome: Outcome, refusal: Exception) -> JobError:
    """The error of a run whose end the store has refused: of its own kind, where it had one."""
    kind = ErrorKind.RESULT_NOT_SERIALIZABLE if outcome.error is None else outcome.error.kind
    return JobError(kind, f"The end of the run could not be stored as it was ({_why(refusal)}).")


def result_not_stored(name: str, refusal: Exception) -> JobError:
    """The error of a run of which the store has refused a named result."""
    words = f"The result {name!a} could not be stored ({_why(refusal)})."
    return JobError(ErrorKind.RESULT_NOT_SERIALIZABLE, words)


def without_results(outcome: Outcome, refused: JobError | None) -> Outcome:
    """Return how a run has ended: not well, if one of its results was refused.

    An outcome that already has an error or an end of its own stays as it is.
    """
    if refused is None or outcome.error is not None or outcome.aborted:
        return outcome
    return replace(outcome, error=refused, result=None)


def _why(refusal: Exception) -> str:
    """In ASCII, and little: it may quote what was refused."""
    return f"{type(refusal).__name__}: {ascii(str(refusal).partition(chr(10))[0])[:REFUSAL_MAX]}"


def _retried(job: Job, error: JobError, outcome: Outcome) -> bool:
    return job.attempt < job.retry.max_attempts and (error.kind in RETRIED or outcome.retry)


def _end_attempt(draft: Draft, error: JobError | None) -> None:
    if error is not None:
        # The last error of the job keeps its traceback; the list of attempts keeps what happened.
        error = replace(error, message=error.message[:ATTEMPT_MESSAGE_MAX], traceback="")
    if draft.job.attempts:
        *earlier, last = draft.job.attempts
        draft.set(attempts=(*earlier, replace(last, end_time=draft.now, error=error)))


def recover(job: Job, now: int, *, error: JobError, confirmed: bool) -> Change:
    """Settle a job left by an instance that is gone.

    TO_BE_RUN goes back at no cost. RUNNING counts as begun.
    """
    if job.status is Status.TO_BE_RUN:
        return give_back(job, now, claim=job.claim, instance=job.instance)
    if job.status is Status.RUNNING:
        outcome = Outcome(error=error, confirmed=confirmed)
        return finish(job, now, claim=job.claim, instance=job.instance, outcome=outcome)
    return Change(job)
