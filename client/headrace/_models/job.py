"""A job and its parts, as values. Public through headrace.info."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace._models.enums import ErrorKind, JobStatus, StopPhase
from headrace._models.retry_policy import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The values that the caller gave for a job.

    The parameters stand as the type's signature understood them.
    """

    type: str
    parameters: Mapping[str, Any]
    """Empty in view BASIC."""
    description: str
    owner: str
    session_id: str
    queue: str
    priority: int
    labels: Mapping[str, str]
    run_after: datetime | None
    expire_time: datetime | None
    attempt_timeout: timedelta | None
    """The longest run of one attempt."""
    retry_policy: RetryPolicy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The latest progress of an attempt."""

    done: int
    total: int | None
    percent: float | None
    """0 to 100; None when the total is unknown."""
    message: str
    update_time: datetime | None
    estimated_end_time: datetime | None
    """When it will end at the rate so far; None when unknown."""

    def __str__(self) -> str:
        """For people: 3/10 (30 %), or 3 where no total is known; then the message, if any."""
        of = "" if self.total is None else f"/{self.total}"
        share = "" if self.percent is None else f" ({self.percent:.0f} %)"
        return f"{self.done}{of}{share}" + (f" {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job, or one attempt of it, ended without success."""

    kind: ErrorKind
    code: str
    """The code that the job gave to ctx.fail; empty otherwise."""
    type: str
    """The type of the exception, such as "ValueError"; empty when there was none."""
    message: str
    step: str
    """The step in which it happened; empty when outside any."""
    traceback: str
    """Empty in view BASIC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One start of a job's code; end_time is None while it runs."""

    number: int
    start_time: datetime | None
    end_time: datetime | None
    error: JobError | None
    instance: str
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInfo:
    """A stop that was asked for."""

    phase: StopPhase
    request_time: datetime | None
    requested_by: str
    reason: str
    kill_time: datetime | None
    """When SIGKILL is due, or was sent."""
    confirmed: bool
    """True when the end of the job's code was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A job as it stood when the server answered.

    Times are aware datetimes in UTC, or None while they are not reached.
    """

    job_id: str
    tenant: str
    spec: JobSpec
    status: JobStatus
    final: bool
    """True when the job has ended: then nothing of it changes but its free fields."""
    revision: int
    """Rises by one with each event of its history."""
    etag: str
    """Changes only with fields that a caller can set: for update()."""
    create_time: datetime | None
    queue_time: datetime | None
    start_time: datetime | None
    """When its first attempt was permitted to start."""
    end_time: datetime | None
    status_time: datetime | None
    next_attempt_time: datetime | None
    progress: Progress | None
    result: Any
    """The value that the job returned; None until then, and in view BASIC."""
    results: Mapping[str, Any]
    """Named results, set while it ran. Empty in view BASIC."""
    error: JobError | None
    """Why it ended without success, or why its last attempt did."""
    attempts: tuple[Attempt, ...]
    stop: StopInfo | None
    instance: str
    worker: str
    locked: bool
    traceparent: str = ""
    """The W3C Trace Context of the call that submitted the job; empty when there was none."""
    batch_id: str = ""
    """The batch that it was submitted with; empty for one that was submitted alone."""

    @property
    def wait_time(self) -> timedelta | None:
        """How long the job waited from its release to its first start, its end or now.

        None before its release.
        """
        return _span(self.queue_time, self.start_time or self.end_time)

    @property
    def run_time(self) -> timedelta | None:
        """How long the job has run from its first start to its end or now.

        Waits between attempts are included.

        None before its first start.
        """
        return _span(self.start_time, self.end_time)


def _span(start: datetime | None, end: datetime | None) -> timedelta | None:
    """The time between, up to now by this machine's clock while there is no end; never negative."""
    return None if start is None else max((end or datetime.now(UTC)) - start, timedelta())
