"""The decisions that callers ask for: create, release, stop, update and delete a job."""

from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any

from headrace_server.domain.change import Change, Draft
from headrace_server.domain.errors import EtagMismatch, JobLocked, WrongStatus
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.expiry import due
from headrace_server.domain.job import Job, Status, Stop, StopPhase
from headrace_server.domain.spec import Spec, values_of

ANY_STATUS_FIELDS = ("description", "labels", "locked")
LIVE_FIELDS = ("priority", "run_after", "expire_time")
"""The fields that UpdateJob may change before the job has ended.

Those of ANY_STATUS_FIELDS may be changed in any status.
"""


class StopOutcome(IntEnum):
    """The outcome of a stop, by the numbers of the contract."""

    STOPPED = 1
    STOPPING = 2
    FINISHED_FIRST = 3
    ALREADY_FINISHED = 4


def create(job_id: str, tenant: str, spec: Spec, now: int, *, hold: bool, batch_id: str = "") -> Change:
    """A new job, PENDING when held."""
    job = Job(
        **values_of(spec),
        job_id=job_id,
        tenant=tenant,
        status=Status.PENDING if hold else Status.QUEUED,
        revision=1,
        version=1,
        create_time=now,
        status_time=now,
        queue_time=None if hold else now,
        due_time=None if hold else due(spec.run_after, None, now),
        batch_id=batch_id,
    )
    created = Event(job_id, tenant, job.type, 1, now, 0, job.status, EventKind.CREATED, {})
    return Change(job, (created,))


def release(job: Job, now: int) -> Change:
    """Release a held job, so that it may be taken from now on.

    Nothing is done when the job was released before, even if it has ended. This is the decision of
    ReleaseJob.
    """
    draft = Draft(job, now)
    if job.status is Status.PENDING:
        draft.move(Status.QUEUED, queue_time=now, due_time=due(job.run_after, None, now))
    elif job.queue_time is None:
        raise WrongStatus(job.job_id, job.status.name, "it has ended and cannot be queued")
    return draft.done()


def request_stop(job: Job, now: int, *, grace: int, reason: str, requested_by: str) -> Change:
    """Stop a job: ABORTED at once when none of its code runs, otherwise asked for.

    A second stop can only bring the kill forward.

    It may do so where its grace is shorter; whether it does, whoever runs the job can tell: the
    clocks of those who are asked may be apart.
    """
    draft = Draft(job, now)
    if job.status.final:
        return draft.done()
    if job.stop is None:
        draft.set(
            stop=Stop(StopPhase.REQUESTED, now, now + grace, grace, requested_by=requested_by, reason=reason)
        )
        draft.log(EventKind.STOP_CHANGED, phase=int(StopPhase.REQUESTED))
    elif grace < job.stop.grace:
        kill_time = min(job.stop.kill_time, max(now, job.stop.request_time) + grace)
        draft.set(stop=replace(job.stop, kill_time=kill_time, grace=grace))
        draft.log(EventKind.UPDATED, paths=["stop.kill_time"])
    if job.status is not Status.RUNNING:
        draft.end_stop(confirmed=True)
        draft.move(Status.ABORTED)
    return draft.done()


def update(job: Job, now: int, *, fields: Mapping[str, Any], etag: str) -> Change:
    """Set new values for fields of ANY_STATUS_FIELDS and LIVE_FIELDS.

    Nothing is done when the job has these values already. This is the decision of UpdateJob.

    That is so under any etag: a caller whose answer was lost asks again with the one that it had.
    """
    changed = {name: value for name, value in fields.items() if getattr(job, name) != value}
    if changed and etag and etag != job.etag:
        raise EtagMismatch(job.job_id, job.etag)
    if job.status.final and (late := sorted(changed.keys() & LIVE_FIELDS)):
        raise WrongStatus(
            job.job_id, job.status.name, f"{', '.join(late)} can be changed only before it has ended"
        )
    draft = Draft(job, now)
    if changed:
        draft.set(**changed, version=job.version + 1)
        if job.status is Status.QUEUED:
            draft.set(due_time=due(draft.get("run_after"), job.next_attempt_time, now))
        draft.log(EventKind.UPDATED, paths=sorted(changed))
    return draft.done()


def may_delete(job: Job) -> bool:
    """Whether the job may be deleted.

    It has ended, is not locked, and has no part that this version cannot read and would lose.
    """
    return job.status.final and not job.locked and not hides(job)


def hides(job: Job) -> bool:
    """Whether it has a part that this version cannot read: a later one may need it.

    Its revision is told by its history too.
    """
    return any(not part.legible and part.name != "revision" for part in job.kept)


def check_legible(job: Job) -> None:
    """Raise unless this version can read all of the job: what it cannot read it does not change."""
    if job.illegible:
        raise WrongStatus(
            job.job_id,
            job.status.name,
            f"this version cannot read all of it ({job.illegible}); a later one may have written it, and can",
        )


def check_delete(job: Job) -> None:
    """Raise unless the job may be deleted."""
    if hides(job):
        check_legible(job)
    if job.locked:
        raise JobLocked(job.job_id, job.status.name)
    if not job.status.final:
        raise WrongStatus(
            job.job_id, job.status.name, "only a job that has ended can be deleted; stop it first"
        )
