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
    """Messages over the limit of the attempt were dropped: this many, at least, when it was logged."""

    count: int


EventDetail = StatusChange | LoggedMessage | ResultSet | StopChange | FieldsUpdated | MessagesDropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a broadcast may have besides the event: with CREATED the parameters, with the end of the job its results."""

    parameters: Mapping[str, Any]
    result: Any
    """What the job returned."""
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
    """What the kind tells further. None for CREATED and UNKNOWN."""
    payload: Payload | None = None
    """Only in a broadcast of a server whose setting events_payload_kib has it in. None too where it was larger than that, and in
    an event that a consumer has read from the server since its message was missing: then the job has it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The job as it stands, first in a watch that did not name a revision."""

    job: JobInfo


@dataclass(frozen=True, slots=True)
class Finished:
    """The job has ended: the last item of every complete watch, with result and error."""

    job: JobInfo


Update = Snapshot | JobEvent | Progress | Finished
"""What a watch yields."""
