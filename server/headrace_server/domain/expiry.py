"""Changes that time brings: a wait is over, or a job has not begun by its expire_time."""

from dataclasses import replace

from headrace_server.domain.change import Change, Draft
from headrace_server.domain.job import ErrorKind, Job, JobError, Status

_WAITS = (Status.PENDING, Status.QUEUED, Status.TO_BE_RUN)


def due(run_after: int | None, next_attempt_time: int | None, now: int) -> int | None:
    """When a queued job may be taken; None when that is now."""
    at = max(run_after or 0, next_attempt_time or 0)
    return at if at > now else None


def promote(job: Job, now: int) -> Change:
    """The time of a waiting job has come."""
    if job.status is Status.QUEUED and job.due_time is not None and job.due_time <= now:
        return Change(replace(job, due_time=None))
    return Change(job)


def expires(job: Job) -> bool:
    """Whether expire_time still binds: only until the first attempt has started."""
    return job.expire_time is not None and job.status in _WAITS and job.attempt == 0


def expired(job: Job, now: int) -> bool:
    """Whether the job has not started in time."""
    return job.expire_time is not None and job.expire_time <= now and expires(job)


def expire(job: Job, now: int) -> Change:
    """FAILED with EXPIRED when the job has not started in time."""
    draft = Draft(job, now)
    if expired(job, now):
        error = JobError(ErrorKind.EXPIRED, "It had not started by its expire_time.")
        draft.move(Status.FAILED, cause=error)
    return draft.done()
