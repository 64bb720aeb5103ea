"""The job: its record, its statuses, and the one table of legal moves.

    PENDING ──release──> QUEUED ──claim──> TO_BE_RUN ──permit──> RUNNING ──> SUCCEEDED / FAILED / ABORTED
                           ▲                   │                    │
                           └────given back─────┴───retry, unused────┘
    PENDING, QUEUED, TO_BE_RUN ──stop──> ABORTED, ──expiry──> FAILED

No other module names a legal move: `domain.change.Draft.move` looks them up here.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from headrace_server.domain.hot import hot
from headrace_server.domain.open_enum import is_known
from headrace_server.domain.spec import Spec


class Status(IntEnum):
    """The status of a job; the numbers are those of JobStatus in the contract."""

    PENDING = 1
    QUEUED = 2
    TO_BE_RUN = 3
    RUNNING = 4
    SUCCEEDED = 5
    FAILED = 6
    ABORTED = 7

    __hash__ = int.__hash__
    """Of the number: Enum would hash the name, in Python, wherever a status is looked up."""

    @property
    def final(self) -> bool:
        """True when nothing can follow."""
        return self in _FINAL


_FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.ABORTED})

MOVES: frozenset[tuple[Status, Status]] = frozenset(
    {
        (Status.PENDING, Status.QUEUED),  # ReleaseJob
        (Status.QUEUED, Status.TO_BE_RUN),  # claim
        (Status.TO_BE_RUN, Status.RUNNING),  # start permit
        (Status.TO_BE_RUN, Status.QUEUED),  # given back
        (Status.RUNNING, Status.QUEUED),  # another attempt, or the permit came back unused
        (Status.PENDING, Status.FAILED),  # expired
        (Status.QUEUED, Status.FAILED),  # expired
        (Status.TO_BE_RUN, Status.FAILED),  # expired
        (Status.PENDING, Status.ABORTED),  # stop
        (Status.QUEUED, Status.ABORTED),  # stop
        (Status.TO_BE_RUN, Status.ABORTED),  # stop
        (Status.RUNNING, Status.ABORTED),  # stop, or its own wish
        (Status.RUNNING, Status.SUCCEEDED),  # returned
        (Status.RUNNING, Status.FAILED),  # failed with no attempt left
    }
)


class ErrorKind(IntEnum):
    """The kind of a job's error; the numbers are those of JobError.Kind in the contract."""

    EXCEPTION = 1
    DECLARED = 2
    EXPIRED = 3
    TIMED_OUT = 4
    WORKER_LOST = 5
    INSTANCE_LOST = 6
    INSTANCE_DRAINED = 7
    SETUP_FAILED = 8
    RESULT_TOO_LARGE = 9
    RESULT_NOT_SERIALIZABLE = 10


RETRIED = frozenset(
    {
        ErrorKind.EXCEPTION,
        ErrorKind.TIMED_OUT,
        ErrorKind.WORKER_LOST,
        ErrorKind.INSTANCE_LOST,
        ErrorKind.INSTANCE_DRAINED,
        ErrorKind.SETUP_FAILED,
    }
)
"""Kinds that are tried again while attempts are left. DECLARED is when the job asks for it."""


class StopPhase(IntEnum):
    """How far a stop has come; the numbers are those of JobStop.Phase in the contract."""

    REQUESTED = 1
    DELIVERED = 2
    TERMINATING = 3
    KILLING = 4
    ENDED = 5


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job or one attempt of it ended without success."""

    kind: ErrorKind
    message: str
    code: str = ""
    type: str = ""
    step: str = ""
    traceback: str = ""
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """The latest progress of an attempt.

    `total`, `percent` and `estimated_end_time` are None when unknown.
    """

    done: int
    total: int | None
    message: str
    update_time: int
    percent: float | None = None
    estimated_end_time: int | None = None
    unknown: str = ""


@hot
@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of a job's code."""

    number: int
    start_time: int
    instance: str
    worker: str
    end_time: int | None = None
    error: JobError | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that was asked for. grace is the shortest that was.

    kill_time is when SIGKILL is due by the clock of whoever was asked, or was sent by that of
    whoever sent it: to be shown, and to be compared with no other clock.
    """

    phase: StopPhase
    request_time: int
    kill_time: int
    grace: int
    requested_by: str = ""
    reason: str = ""
    confirmed: bool = False
    unknown: str = ""


class Kept(NamedTuple):
    """A part of a job that this version did not write, or cannot read.

    It holds what is stored, and what was read of it.

    legible: the job can be acted on, since the rest of the part is what a later version has added.
    """

    name: str
    stored: Any
    value: Any
    legible: bool


@hot
@dataclass(frozen=True, slots=True)
class Job(Spec):
    """A job as it stands, one row: its spec and its state.

    Parameters and results are stored beside the row and are read when needed.

    claim rises at each QUEUED -> TO_BE_RUN and is the fencing token; attempt rises at each start
    permit and is what max_attempts counts. due_time is set while a QUEUED job waits for its time,
    and None once it may be taken. version makes the etag.

    One record, not two: a row is made into one object, and a change of it into one more (two would
    cost a third more to read).
    """

    job_id: str = ""
    tenant: str = ""
    status: Status = Status.PENDING
    revision: int = 0
    version: int = 0
    create_time: int = 0
    status_time: int = 0
    queue_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    next_attempt_time: int | None = None
    due_time: int | None = None
    claim: int = 0
    attempt: int = 0
    instance: str = ""
    worker: str = ""
    locked: bool = False
    progress: Progress | None = None
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    stop: Stop | None = None
    message_count: int = 0
    dropped_count: int = 0
    batch_id: str = ""
    kept: tuple[Kept, ...] = ()
    """No column: parts to be stored as they were, as long as they are the same."""

    @property
    def illegible(self) -> str:
        """The names of the parts that this version cannot read, possibly its status.

        The text is meant for a sentence. It is empty when the job can be acted on.
        """
        return ", ".join(part.name for part in self.kept if not part.legible)

    @property
    def ended(self) -> bool:
        """True when nothing can follow, in a status that this version does not know too."""
        return self.status.final or (self.end_time is not None and not is_known(self.status))

    @property
    def etag(self) -> str:
        """Changes only with fields that a caller can set."""
        return f"v{self.version}"

    @property
    def waits(self) -> bool:
        """True while it is held or queued: no instance has taken it."""
        return self.status in (Status.PENDING, Status.QUEUED)

    @property
    def ready(self) -> bool:
        """True when it may be claimed now."""
        return self.status is Status.QUEUED and self.due_time is None
