"""The errors that a caller can get instead of a result, and the one that a replaced run gets.

    ControlError                reason                 when
    ├── JobNotFound             JOB_NOT_FOUND          no such job in this tenant
    ├── InvalidArgument         INVALID_ARGUMENT       a field holds a bad value; names each
    │   ├── InvalidParameter    INVALID_PARAMETER      a parameter does not fit the type's signature
    │   ├── UnknownType         JOB_TYPE_UNKNOWN       no such type is registered
    │   └── InvalidPageToken    INVALID_PAGE_TOKEN     not a token of this query and tenant
    ├── RequestIdReused         REQUEST_ID_REUSED      the request_id was used for another spec
    ├── WrongStatus             WRONG_STATUS           the job's status does not allow it
    ├── JobLocked               JOB_LOCKED             deletion of a locked job
    ├── EtagMismatch            ETAG_MISMATCH          the job was changed meanwhile
    ├── RevisionAhead           REVISION_AHEAD         a watch from a revision that does not exist yet
    ├── QueueFull               QUEUE_FULL             too many jobs wait; try again later
    ├── TooManyWatchers         TOO_MANY_WATCHERS      too many streams are open; try again later
    ├── TooManyCalls            TOO_MANY_CALLS         too many calls are worked on; try again in a moment
    ├── CallTooLong             CALL_TOO_LONG          the server gave the call up; what it asked for may still happen
    ├── StoreUnavailable        STORE_UNAVAILABLE      the database cannot be reached; try again
    ├── LoaderUnavailable       LOADER_UNAVAILABLE     the process that checks parameters is away; try again
    ├── Draining                DRAINING               the server is shutting down; try another
    └── WorkerOnly              WORKER_ONLY            the instance only runs jobs; call another
    StaleClaim                  (never answered)       a run wrote with a claim that is no longer its own

codec/errors.py maps each reason to its gRPC code; the client's errors.py maps it back.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class FieldViolation(NamedTuple):
    """A field of a request that holds a bad value."""

    field: str
    description: str


class ControlError(Exception):
    """An answer other than a result. The text is a sentence for the caller."""

    reason: ClassVar[str] = "INTERNAL"
    retry_after: ClassVar[float | None] = None
    """Seconds after which the same call may succeed; None when a repetition does not help."""

    def __init__(self, message: str, *, fields: Sequence[FieldViolation] = (), **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.fields = tuple(fields)
        self.metadata = metadata


class JobNotFound(ControlError):
    """No such job in this tenant."""

    reason = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r} in this tenant.", job_id=job_id)


class InvalidArgument(ControlError):
    """Fields of the request hold bad values."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, *fields: FieldViolation, **metadata: str) -> None:
        text = " ".join(f"{field}: {description}" for field, description in fields)
        super().__init__(text, fields=fields, **metadata)


class InvalidParameter(InvalidArgument):
    """Parameters do not fit the signature of the job's type."""

    reason = "INVALID_PARAMETER"


class UnknownType(InvalidArgument):
    """No job of this type is registered."""

    reason = "JOB_TYPE_UNKNOWN"


class InvalidPageToken(InvalidArgument):
    """The page token is not one of this query and tenant."""

    reason = "INVALID_PAGE_TOKEN"


class RequestIdReused(ControlError):
    """The request_id was used for another spec."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str, job_id: str) -> None:
        super().__init__(
            f"request_id {request_id!r} was used to submit job {job_id} with another spec: "
            "use a new request_id for a new job.",
            request_id=request_id,
            job_id=job_id,
        )


class WrongStatus(ControlError):
    """The status of the job does not allow what was asked."""

    reason = "WRONG_STATUS"

    def __init__(self, job_id: str, status: str, wanted: str) -> None:
        super().__init__(f"Job {job_id} is {status}: {wanted}.", job_id=job_id, status=status)


class JobLocked(ControlError):
    """The job is locked against deletion."""

    reason = "JOB_LOCKED"

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(
            f"Job {job_id} is locked: unlock it before deleting it.", job_id=job_id, status=status
        )


class EtagMismatch(ControlError):
    """The job was changed since the etag was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, job_id: str, etag: str) -> None:
        super().__init__(
            f"Job {job_id} was changed meanwhile: its etag is now {etag}.", job_id=job_id, etag=etag
        )


class RevisionAhead(ControlError):
    """A watch from a revision that the job has not reached."""

    reason = "REVISION_AHEAD"

    def __init__(self, job_id: str, revision: int) -> None:
        super().__init__(
            f"Job {job_id} is at revision {revision} only.", job_id=job_id, revision=str(revision)
        )


class QueueFull(ControlError):
    """Too many jobs wait."""

    reason = "QUEUE_FULL"
    retry_after = 1.0


class TooManyWatchers(ControlError):
    """Too many streams are open."""

    reason = "TOO_MANY_WATCHERS"
    retry_after = 1.0


class TooManyCalls(ControlError):
    """Too many calls are being worked on."""

    reason = "TOO_MANY_CALLS"
    retry_after = 0.5


class CallTooLong(ControlError):
    """The call took longer than any call may."""

    reason = "CALL_TOO_LONG"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The call took longer than {seconds:g} s (max_call_time). What it asked for may still happen: "
            "look before you repeat it."
        )


class StoreUnavailable(ControlError):
    """The database cannot be reached, or is full."""

    reason = "STORE_UNAVAILABLE"
    retry_after = 1.0


class LoaderUnavailable(ControlError):
    """The loader process is away or took too long, so parameters cannot be checked.

    The loader is the process that has loaded the job modules.
    """

    reason = "LOADER_UNAVAILABLE"
    retry_after = 1.0


class Draining(ControlError):
    """The server is shutting down."""

    reason = "DRAINING"
    retry_after = 1.0

    def __init__(self) -> None:
        super().__init__("The server is shutting down: try again.")


class WorkerOnly(ControlError):
    """The instance takes no calls about jobs: it runs them."""

    reason = "WORKER_ONLY"

    def __init__(self) -> None:
        super().__init__("This instance only runs jobs (its setting worker_only): call another one.")


class StaleClaim(Exception):
    """A run wrote with a claim that is no longer its own: kill its child and forget the job."""
