"""What may become of a job: each function takes the job as it stands and the time, and gives a Change.

A Change is the job afterwards and the events that say so; it is pure, so the store can apply many to one job
and write the job once (events are never merged). A function that finds nothing to do gives the job back with no
events. One that must refuse raises a ControlError (the caller is told) or Replaced (the run is told).

    caller    create · release · request_stop · update · check_delete
    time      promote · expire
    run       claim -> permit -> progress, log, set_result, stop_phase -> finish
              give_back (not permitted), return_permit (permitted, never begun), lose (its end was not its own)

Every write of a run names its claim: that is the fence. Retry rules and the truth of a stop are in `finish`.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from headrace_server.domain.errors import EtagMismatch, JobLocked, Replaced, WrongStatus
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import (
    MOVES,
    RETRIED,
    Attempt,
    ErrorKind,
    Job,
    JobError,
    Progress,
    Spec,
    Status,
    Stop,
    StopPhase,
)

ATTEMPT_MESSAGE_MAX = 1000
"""Characters of an error's message kept on the attempt: a thousand attempts still fit into one message."""


@dataclass(frozen=True, slots=True)
class Change:
    """The job afterwards, the events that say so, and the results written beside it.

    results maps names to JSON texts of plain values; "" is what the job returned. clear_results drops those of
    an earlier attempt first.
    """

    job: Job
    events: tuple[Event, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    clear_results: bool = False


def merge(first: Change, second: Change) -> Change:
    """Two changes of one job, one after the other, as one."""
    results = second.results if second.clear_results else {**first.results, **second.results}
    clear = first.clear_results or second.clear_results
    return Change(second.job, first.events + second.events, results, clear)


def chain(decisions: Sequence[Callable[[Job, int], Change]]) -> Callable[[Job, int], Change]:
    """Several decisions on one job as one: all of them or, when one raises, none."""

    def decide(job: Job, now: int) -> Change:
        change = Change(job)
        for decision in decisions:
            change = merge(change, decision(change.job, now))
        return change

    return decide


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a job: level and source are numbers of the contract's enums."""

    level: int
    source: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, as its child said or its pool saw.

    error is None for a return. aborted: the job aborted itself. retry: a DECLARED error asked for another
    attempt. stop_seen: the stop had reached the job's code. insisted: it called ctx.succeed. confirmed: none of
    its code runs any more.
    """

    error: JobError | None = None
    aborted: bool = False
    retry: bool = False
    stop_seen: bool = False
    insisted: bool = False
    confirmed: bool = True
    result: str | None = None


class _Draft:
    """A job being changed: collects events, one revision each."""

    def __init__(self, job: Job, now: int) -> None:
        self.job = job
        self.now = now
        self.events: list[Event] = []

    def set(self, **fields: Any) -> None:
        self.job = replace(self.job, **fields)

    def log(self, kind: EventKind, **body: Any) -> None:
        job = self.job = replace(self.job, revision=self.job.revision + 1)
        self.events.append(
            Event(
                job.job_id, job.tenant, job.type, job.revision, self.now, job.attempt, job.status, kind, body
            )
        )

    def move(self, to: Status, *, error: JobError | None = None, **fields: Any) -> None:
        before = self.job.status
        if (before, to) not in MOVES:
            raise AssertionError(f"no move from {before.name} to {to.name}")
        if to.final:
            fields.update(end_time=self.now, due_time=None, next_attempt_time=None)
        self.set(status=to, status_time=self.now, **fields)
        body: dict[str, Any] = {"from": int(before), "to": int(to)}
        if error is not None:
            body["error"] = asdict(error)
        self.log(EventKind.STATUS_CHANGED, **body)

    def done(self, **beside: Any) -> Change:
        return Change(self.job, tuple(self.events), **beside)


def create(job_id: str, tenant: str, spec: Spec, now: int, *, hold: bool) -> Change:
    """A new job, PENDING when held."""
    job = Job(
        job_id=job_id,
        tenant=tenant,
        type=spec.type,
        description=spec.description,
        owner=spec.owner,
        session_id=spec.session_id,
        queue=spec.queue,
        priority=spec.priority,
        labels=spec.labels,
        run_after=spec.run_after,
        expire_time=spec.expire_time,
        timeout=spec.timeout,
        retry=spec.retry,
        status=Status.PENDING if hold else Status.QUEUED,
        revision=0,
        version=1,
        create_time=now,
        status_time=now,
        queue_time=None if hold else now,
        due_time=None if hold else _due(spec.run_after, None, now),
    )
    draft = _Draft(job, now)
    draft.log(EventKind.CREATED)
    return draft.done()


def _due(run_after: int | None, next_attempt_time: int | None, now: int) -> int | None:
    """When a queued job may be taken; None when that is now."""
    at = max(run_after or 0, next_attempt_time or 0)
    return at if at > now else None


def release(job: Job, now: int) -> Change:
    """QueueJob: a held job may be taken from now on. Nothing to do when it was released before."""
    if job.status.final:
        raise WrongStatus(job.job_id, job.status.name, "a job that has ended cannot be queued again")
    draft = _Draft(job, now)
    if job.status is Status.PENDING:
        draft.move(Status.QUEUED, queue_time=now, due_time=_due(job.run_after, None, now))
    return draft.done()


def promote(job: Job, now: int) -> Change:
    """The time of a waiting job has come."""
    if job.status is Status.QUEUED and job.due_time is not None and job.due_time <= now:
        return Change(replace(job, due_time=None))
    return Change(job)


def expires(job: Job) -> bool:
    """Whether expire_time still binds: only until the first attempt has started."""
    return job.expire_time is not None and job.status < Status.RUNNING and job.attempt == 0


def expire(job: Job, now: int) -> Change:
    """FAILED with EXPIRED when the job has not started in time."""
    draft = _Draft(job, now)
    if expires(job) and job.expire_time is not None and job.expire_time <= now:
        error = JobError(ErrorKind.EXPIRED, "It had not started by its expire_time.")
        draft.move(Status.FAILED, error=error)
        draft.set(error=error)
    return draft.done()


def claim(job: Job, now: int, *, instance: str, worker: str) -> Change:
    """An instance takes a ready job for one of its slots."""
    draft = _Draft(job, now)
    draft.move(
        Status.TO_BE_RUN, claim=job.claim + 1, instance=instance, worker=worker, next_attempt_time=None
    )
    return draft.done()


def holds(job: Job, claim: int, instance: str) -> bool:
    """Whether a claim still holds the job."""
    return (
        job.claim == claim and job.instance == instance and job.status in (Status.TO_BE_RUN, Status.RUNNING)
    )


def _fence(job: Job, claim: int, instance: str) -> None:
    if not holds(job, claim, instance):
        raise Replaced(f"job {job.job_id}: claim {claim} of {instance} no longer holds it")


def permit(job: Job, now: int, *, claim: int, instance: str, worker: str) -> Change:
    """The start permit: once this is on disk, and not before, the job's code may run."""
    _fence(job, claim, instance)
    if expires(job) and job.expire_time is not None and job.expire_time <= now:
        return expire(job, now)
    number = job.attempt + 1
    draft = _Draft(job, now)
    draft.move(
        Status.RUNNING,
        attempt=number,
        worker=worker,
        start_time=job.start_time if job.start_time is not None else now,
        attempts=(*job.attempts, Attempt(number, now, instance, worker)),
        progress=None,
        error=None,
        message_count=0,
        dropped_count=0,
    )
    return draft.done(clear_results=number > 1)


def give_back(job: Job, now: int, *, claim: int, instance: str) -> Change:
    """A claim that got no permit: back to the queue, at no cost."""
    _fence(job, claim, instance)
    draft = _Draft(job, now)
    draft.move(Status.QUEUED, due_time=_due(job.run_after, None, now))
    return draft.done()


def return_permit(job: Job, now: int, *, claim: int, instance: str) -> Change:
    """A permit whose job never began: back to the queue at no cost, or ABORTED when a stop was asked for."""
    _fence(job, claim, instance)
    draft = _Draft(job, now)
    if job.status is Status.TO_BE_RUN:
        return give_back(job, now, claim=claim, instance=instance)
    if job.stop is not None:
        _end_attempt(draft, None)
        _end_stop(draft, confirmed=True)
        draft.move(Status.ABORTED)
        return draft.done()
    attempts = job.attempts[:-1]
    draft.move(
        Status.QUEUED,
        attempt=job.attempt - 1,
        attempts=attempts,
        start_time=attempts[0].start_time if attempts else None,
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
    draft = _Draft(job, now)
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
    draft = _Draft(job, now)
    draft.log(EventKind.RESULT_SET, name=name)
    return draft.done(results={name: value})


def request_stop(job: Job, now: int, *, grace: int, reason: str, requested_by: str) -> Change:
    """A stop: ABORTED at once when no code of it runs, else asked for. A second can only bring the kill forward."""
    draft = _Draft(job, now)
    if job.status.final:
        return draft.done()
    if job.stop is None:
        draft.set(
            stop=Stop(StopPhase.REQUESTED, now, now + grace, grace, requested_by=requested_by, reason=reason)
        )
        draft.log(EventKind.STOP_CHANGED, phase=int(StopPhase.REQUESTED))
    elif now + grace < job.stop.kill_time:
        draft.set(stop=replace(job.stop, kill_time=now + grace, grace=grace))
    if job.status is not Status.RUNNING:
        _end_stop(draft, confirmed=True)
        draft.move(Status.ABORTED)
    return draft.done()


def stop_phase(job: Job, now: int, *, claim: int, instance: str, phase: StopPhase) -> Change:
    """The stop of a run has reached its next phase. Phases only rise."""
    _fence(job, claim, instance)
    draft = _Draft(job, now)
    if job.stop is not None and phase > job.stop.phase:
        draft.set(stop=replace(job.stop, phase=phase))
        if phase is StopPhase.KILLING:
            draft.set(stop=replace(draft.job.stop or job.stop, kill_time=now))
        draft.log(EventKind.STOP_CHANGED, phase=int(phase))
    return draft.done()


def finish(job: Job, now: int, *, claim: int, instance: str, outcome: Outcome) -> Change:
    """The run has ended: the retry rules and the truth of a stop.

    With a stop asked for: an exception, a timeout or a loss is ABORTED; a return is SUCCEEDED only if the stop
    had not reached the job's code, or if it called ctx.succeed. Without: a return is SUCCEEDED; an error of a
    retried kind goes back to the queue while attempts are left, and is FAILED otherwise.
    """
    _fence(job, claim, instance)
    if job.status is Status.TO_BE_RUN:
        return give_back(job, now, claim=claim, instance=instance)
    draft = _Draft(job, now)
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
        _end_stop(draft, confirmed=outcome.confirmed)
        draft.move(Status.SUCCEEDED)
    elif job.stop is not None or outcome.aborted:
        _end_stop(draft, confirmed=outcome.confirmed)
        draft.set(error=error)
        draft.move(Status.ABORTED, error=error)
    elif error is not None and _retried(job, error, outcome):
        wait = job.retry.backoff(job.attempt)
        at = now + wait + int(wait * 0.1 * random.random())
        draft.set(error=error)
        draft.move(Status.QUEUED, error=error, next_attempt_time=at, due_time=_due(job.run_after, at, now))
    else:
        draft.set(error=error)
        draft.move(Status.FAILED, error=error)
    return draft.done(results=results)


def _retried(job: Job, error: JobError, outcome: Outcome) -> bool:
    return job.attempt < job.retry.max_attempts and (error.kind in RETRIED or outcome.retry)


def _end_attempt(draft: _Draft, error: JobError | None) -> None:
    if error is not None:
        # The last error of the job keeps its traceback; the list of attempts keeps what happened.
        error = replace(error, message=error.message[:ATTEMPT_MESSAGE_MAX], traceback="")
    *earlier, last = draft.job.attempts
    draft.set(attempts=(*earlier, replace(last, end_time=draft.now, error=error)))


def _end_stop(draft: _Draft, *, confirmed: bool) -> None:
    stop = draft.job.stop
    if stop is not None:
        draft.set(stop=replace(stop, phase=StopPhase.ENDED, confirmed=confirmed))
        draft.log(EventKind.STOP_CHANGED, phase=int(StopPhase.ENDED))


def recover(job: Job, now: int, *, error: JobError, confirmed: bool) -> Change:
    """What an instance that is gone has left: TO_BE_RUN goes back at no cost, RUNNING counts as begun."""
    if job.status is Status.TO_BE_RUN:
        return give_back(job, now, claim=job.claim, instance=job.instance)
    if job.status is Status.RUNNING:
        outcome = Outcome(error=error, confirmed=confirmed)
        return finish(job, now, claim=job.claim, instance=job.instance, outcome=outcome)
    return Change(job)


ANY_STATUS_FIELDS = frozenset({"description", "labels", "locked"})
LIVE_FIELDS = frozenset({"priority", "run_after", "expire_time"})


def update(job: Job, now: int, *, fields: Mapping[str, Any], etag: str) -> Change:
    """UpdateJob: new values for fields of ANY_STATUS_FIELDS and LIVE_FIELDS. Values it has already: nothing to do."""
    if etag and etag != job.etag:
        raise EtagMismatch(job.job_id, job.etag)
    changed = {name: value for name, value in fields.items() if getattr(job, name) != value}
    if job.status.final and (late := sorted(LIVE_FIELDS & changed.keys())):
        raise WrongStatus(
            job.job_id, job.status.name, f"{', '.join(late)} can be changed only before it has ended"
        )
    draft = _Draft(job, now)
    if changed:
        draft.set(**changed, version=job.version + 1)
        if draft.job.status is Status.QUEUED:
            draft.set(due_time=_due(draft.job.run_after, draft.job.next_attempt_time, now))
        draft.log(EventKind.UPDATED, paths=sorted(changed))
    return draft.done()


def check_delete(job: Job) -> None:
    """Raise unless the job may be deleted."""
    if job.locked:
        raise JobLocked(job.job_id, job.status.name)
    if not job.status.final:
        raise WrongStatus(
            job.job_id, job.status.name, "only a job that has ended can be deleted; stop it first"
        )
