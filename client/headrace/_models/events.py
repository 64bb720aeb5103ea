"""A job's history and what a watch yields, as values. Public through headrace.info."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace._models.enums import EventKind, JobStatus, MessageLevel, MessageSource, StopPhase
from headrace._models.job import JobError, JobInfo, Progress


@dataclass(frozen=True, slots=True)
class StatusChange:
    """The job's status changed; error says why, where that was not a success."""

    from_status: JobStatus
    to_status: JobStatus
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """The job logged a message, or wrote to its standard output or error."""

    level: MessageLevel
    text: str
    source: MessageSource


@dataclass(frozen=True, slots=True)
class ResultSet:
    """The job set a result; the empty name is the one that it returned."""

    name: str


@dataclass(frozen=True, slots=True)
class StopChange:
    """A stop went on to this phase."""

    phase: StopPhase


@dataclass(frozen=True, slots=True)
class FieldsUpdated:
    """A caller changed these fields of the job."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MessagesDropped:
    """A record that messages over the limit of the attempt were dropped.

    `count` is the number dropped when it was logged, at least.
    """

    count: int


EventDetail = StatusChange | LoggedMessage | ResultSet | StopChange | FieldsUpdated | MessagesDropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The values that a broadcast may carry besides the event.

    CREATED carries the parameters, the end of the job its results.
    """

    parameters: Mapping[str, Any]
    result: Any
    """The value that the job returned."""
    results: Mapping[str, Any]
    """Its named results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One entry of a job's history. Revisions are 1, 2, 3 … without a gap."""

    job_id: str
    tenant: str
    type: str
    revision: int
    event_time: datetime | None
    attempt: int
    """The attempt it happened in; 0 before the first."""
    status: JobStatus
    """The job's status after it."""
    final: bool
    """True when that status is terminal."""
    kind: EventKind
    detail: EventDetail | None
    """The details of this kind of event, or None for CREATED and UNKNOWN."""
    payload: Payload | None = None
    """The values that a broadcast carries besides the event, or None.

    Only a broadcast has them, and only if the server's setting events_payload_kib includes them.
    They are None if they were larger than that, and in an event that a consumer has read from the
    server because its message was missing. The job itself has them then.
    """


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The job as it stands, first in a watch that did not name a revision."""

    job: JobInfo


@dataclass(frozen=True, slots=True)
class Finished:
    """The job has ended: the last item of every complete watch, with result and error."""

    job: JobInfo


Update = Snapshot | JobEvent | Progress | Finished
"""The items that a watch yields."""
