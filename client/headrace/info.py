"""The answers of a server as frozen values: jobs, their history, and the server itself.

Times are aware datetimes in UTC, lengths of time are timedeltas, parameters and results are Python
values (headrace.values says which). Words such as a status are text that equals its name:
JobStatus.RUNNING == "RUNNING".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from headrace._models.enums import (
    CountGroup,
    ErrorKind,
    EventKind,
    GateScope,
    JobOrder,
    JobStatus,
    JobView,
    MessageLevel,
    MessageSource,
    StopOutcome,
    StopPhase,
)
from headrace._models.events import (
    EventDetail,
    FieldsUpdated,
    Finished,
    JobEvent,
    LoggedMessage,
    MessagesDropped,
    Payload,
    ResultSet,
    Snapshot,
    StatusChange,
    StopChange,
    Update,
)
from headrace._models.job import Attempt, JobError, JobInfo, JobSpec, Progress, StopInfo
from headrace._models.retry_policy import RetryPolicy

__all__ = [
    "Attempt",
    "Count",
    "CountGroup",
    "Counts",
    "ErrorKind",
    "EventDetail",
    "EventKind",
    "FieldsUpdated",
    "Finished",
    "Gate",
    "GateScope",
    "Instance",
    "JobError",
    "JobEvent",
    "JobInfo",
    "JobOrder",
    "JobSpec",
    "JobStatus",
    "JobType",
    "JobView",
    "LoggedMessage",
    "MessageLevel",
    "MessageSource",
    "MessagesDropped",
    "Page",
    "Payload",
    "Progress",
    "PurgeCounts",
    "ResultSet",
    "ServerInfo",
    "Snapshot",
    "StatusChange",
    "StopChange",
    "StopCounts",
    "StopInfo",
    "StopOutcome",
    "StopPhase",
    "StopResult",
    "Traffic",
    "Update",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, and the token that gives the next: empty on the last."""

    items: tuple[T, ...]
    next_page_token: str

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs have these keys in common, in the order of group_by."""

    keys: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of jobs by group, largest first."""

    groups: tuple[Count, ...]
    total: int
    at_least: bool
    """True when counting ended early: there are at least this many."""


@dataclass(frozen=True, slots=True)
class StopResult:
    """The outcome of a stop, and the job as it stands."""

    outcome: StopOutcome
    job: JobInfo


@dataclass(frozen=True, slots=True)
class StopCounts:
    """The counts of jobs that were to be stopped, by outcome."""

    stopped: int = 0
    """They are ABORTED: they had not started."""
    stopping: int = 0
    """The stop is under way."""

    def __add__(self, other: "StopCounts") -> "StopCounts":
        return StopCounts(self.stopped + other.stopped, self.stopping + other.stopping)


@dataclass(frozen=True, slots=True)
class PurgeCounts:
    """The counts of jobs that were to be purged, by outcome."""

    purged: int = 0
    """They were deleted."""
    stopping: int = 0
    """They were told to stop and have not ended yet: they are still there."""
    locked: int = 0
    """They are locked, and stay as they are."""
    unended: int = 0
    """They have not ended, and stay as they are."""

    def __add__(self, other: "PurgeCounts") -> "PurgeCounts":
        return PurgeCounts(
            self.purged + other.purged,
            self.stopping + other.stopping,
            self.locked + other.locked,
            self.unended + other.unended,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """A type of job that the server has loaded, or a job module that failed to load."""

    type: str
    """Empty for a module that failed to load."""
    description: str
    module: str
    parameters_schema: Mapping[str, Any] | None
    """JSON Schema of its parameters."""
    result_schema: Mapping[str, Any] | None
    """JSON Schema of what it returns; None when its signature does not say."""
    retry_policy: RetryPolicy | None
    attempt_timeout: timedelta | None
    """The longest run of one attempt; None when there is no limit."""
    instance_count: int
    """The number of instances that run this type; with 0, such jobs stay QUEUED.

    These instances live, have loaded the type, have workers and do not drain. Each may serve some
    queues only.
    """
    load_error: str
    """Why the module failed to load; empty when it did not."""
    workspace: bool = False
    """Whether the type uses a workspace.

    Jobs of such a type stay QUEUED while the disk is too full for one.
    """
    fresh: bool = False
    """Whether each run has a worker process of its own.

    No job has run in that process before, and none runs in it afterwards.
    """
    concurrency: int = 1
    """How many runs of the type may share a worker process; with 1, none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The limits that an operator sets on what runs of a queue, a tenant or a type of job."""

    scope: GateScope
    name: str
    paused: bool
    max_running: int | None
    """None: no limit."""
    max_running_per_owner: int | None
    """Of each owner of each tenant. None: no limit."""
    weight: int
    """A tenant's places in a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The jobs of a queue or a tenant that wait and run, and its gate."""

    gate: Gate
    waiting: int
    """Jobs that could be claimed now: exact up to 10,000, then at_least."""
    waiting_at_least: bool
    oldest_queue_time: datetime | None
    """When the oldest of those counted was released; None when none waits."""
    running: int
    """Jobs that instances hold: TO_BE_RUN and RUNNING."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The server's version, settings, limits and counters, with secrets masked."""

    version: str
    instance: str
    """The id of this life of the instance: a restarted server has another."""
    start_time: datetime | None
    settings: Mapping[str, str]
    limits: Mapping[str, int]
    counters: Mapping[str, int]
    draining: bool
    """True when it is shutting down."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One life of a server. What it does is as old as its last heartbeat."""

    instance: str
    live: bool
    """False once the others hold it for dead."""
    start_time: datetime | None
    host: str
    pid: int
    address: str
    version: str
    workers: int
    """0: it serves callers only."""
    running: int
    """Jobs that it holds."""
    types: tuple[str, ...]
    """The types of job that it can run."""
    draining: bool
    queues: tuple[str, ...] = ()
    """The queues whose jobs it runs; empty: all."""
