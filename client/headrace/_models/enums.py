"""The words of Headrace. Each value is its own name as text: JobStatus.RUNNING == "RUNNING".

Words that a server answers end in UNKNOWN: what a newer server says and this client does not know.
So reading an answer never fails for a new word; JobInfo.final, not its status, says whether a job
has ended.
"""

from enum import StrEnum, auto
from typing import Any


class _Word(StrEnum):
    """Text that equals its own name."""

    @staticmethod
    def _generate_next_value_(name: str, _start: int, _count: int, _last_values: list[Any]) -> str:
        return name


class JobStatus(_Word):
    """The status of a job.

    SUCCEEDED, FAILED and ABORTED are terminal.
    """

    PENDING = auto()
    QUEUED = auto()
    TO_BE_RUN = auto()
    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    ABORTED = auto()
    UNKNOWN = auto()


class ErrorKind(_Word):
    """The kinds of failure of a job or an attempt."""

    EXCEPTION = auto()
    DECLARED = auto()
    EXPIRED = auto()
    TIMED_OUT = auto()
    WORKER_LOST = auto()
    INSTANCE_LOST = auto()
    INSTANCE_DRAINED = auto()
    SETUP_FAILED = auto()
    RESULT_TOO_LARGE = auto()
    RESULT_NOT_SERIALIZABLE = auto()
    UNKNOWN = auto()


class StopPhase(_Word):
    """How far a stop has come."""

    REQUESTED = auto()
    DELIVERED = auto()
    TERMINATING = auto()
    KILLING = auto()
    ENDED = auto()
    UNKNOWN = auto()


class StopOutcome(_Word):
    """The outcomes of a stop."""

    STOPPED = auto()
    STOPPING = auto()
    FINISHED_FIRST = auto()
    ALREADY_FINISHED = auto()
    UNKNOWN = auto()


class EventKind(_Word):
    """The kinds of event in a job's history."""

    CREATED = auto()
    STATUS_CHANGED = auto()
    MESSAGE_LOGGED = auto()
    RESULT_SET = auto()
    STOP_CHANGED = auto()
    UPDATED = auto()
    MESSAGES_DROPPED = auto()
    UNKNOWN = auto()


class MessageLevel(_Word):
    """How serious a logged message is."""

    DEBUG = auto()
    INFO = auto()
    WARNING = auto()
    ERROR = auto()
    UNKNOWN = auto()


class MessageSource(_Word):
    """The source of a message: ctx.message and ctx.log, or captured output."""

    JOB = auto()
    STDOUT = auto()
    STDERR = auto()
    UNKNOWN = auto()


class JobView(_Word):
    """How much of a job is answered: BASIC leaves out parameters, results and tracebacks."""

    BASIC = auto()
    FULL = auto()


class JobOrder(_Word):
    """The order of a list; ties are broken by job id in the same direction."""

    CREATE_TIME_DESC = auto()
    CREATE_TIME_ASC = auto()
    STATUS_TIME_DESC = auto()
    STATUS_TIME_ASC = auto()
    PRIORITY_DESC = auto()
    PRIORITY_ASC = auto()


class GateScope(_Word):
    """The kinds of thing that a gate can control."""

    QUEUE = auto()
    TENANT = auto()
    TYPE = auto()
    UNKNOWN = auto()


class CountGroup(_Word):
    """The fields that jobs can be grouped by when they are counted."""

    STATUS = auto()
    TYPE = auto()
    TENANT = auto()
    OWNER = auto()
    QUEUE = auto()
