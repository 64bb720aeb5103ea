"""The errors that a call can raise: one class per case that a caller can handle differently.

    HeadraceError                exit   code                  reason
    ├── InvalidArgument             2   INVALID_ARGUMENT      INVALID_ARGUMENT; .fields names each field
    │   ├── InvalidParameter        2                         INVALID_PARAMETER
    │   ├── UnknownType             2                         JOB_TYPE_UNKNOWN
    │   └── InvalidPageToken        2                         INVALID_PAGE_TOKEN
    ├── OutOfRange                  2   OUT_OF_RANGE          REVISION_AHEAD
    ├── PayloadTooLarge             2   RESOURCE_EXHAUSTED    (the transport's limit)
    ├── Unauthenticated             4   UNAUTHENTICATED       UNAUTHENTICATED
    ├── PermissionDenied            4   PERMISSION_DENIED     PERMISSION_DENIED
    ├── JobNotFound                 5   NOT_FOUND             JOB_NOT_FOUND
    ├── RequestIdReused             1   ALREADY_EXISTS        REQUEST_ID_REUSED
    ├── WrongStatus                 1   FAILED_PRECONDITION   WRONG_STATUS
    ├── JobLocked                   1   FAILED_PRECONDITION   JOB_LOCKED
    ├── EtagMismatch                1   ABORTED               ETAG_MISMATCH
    ├── Overloaded                  6   RESOURCE_EXHAUSTED    QUEUE_FULL, TOO_MANY_CALLS, TOO_MANY_WATCHERS; retried
    ├── Unavailable                 6   UNAVAILABLE           STORE_UNAVAILABLE, LOADER_UNAVAILABLE, DRAINING; retried
    ├── Unsupported                 1   UNIMPLEMENTED         WORKER_ONLY
    ├── DeadlineExceeded          124   DEADLINE_EXCEEDED     (the caller's own limit), CALL_TOO_LONG
    ├── Cancelled                 130   CANCELLED             (the call or the client was closed)
    ├── InternalError               1   INTERNAL, UNKNOWN     INTERNAL; .error_id
    ├── JobFailed                   1   (raised for a result) the job ended FAILED
    └── JobAborted                  3   (raised for a result) the job ended ABORTED

Each class owns the exit code that a command-line program ends with. BY_REASON and BY_CODE are the
one table from what a server answers to what is raised: the reason decides, and the code where no
reason is given. InvalidArgument is a ValueError too and DeadlineExceeded a TimeoutError, as Python
code expects.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from headrace.info import JobInfo, JobStatus


class FieldViolation(NamedTuple):
    """A field of a request that holds a bad value."""

    field: str
    description: str


class HeadraceError(Exception):
    """An error that Headrace answered, or a failure that kept it from answering.

    The text is a sentence for people.
    """

    exit_code: ClassVar[int] = 1
    """The exit code for a command-line program that ends with this error."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """The gRPC status code by name; empty when the client itself raised this."""
        self.reason = reason
        """The cause, as Headrace names it; empty when the transport reported the error."""
        self.metadata = dict(metadata or {})
        """The subjects of the reason, such as job_id; job_service.proto lists the keys."""
        self.fields = tuple(fields)
        """Which fields of the request were refused, and why."""
        self.retry_after = retry_after
        """Seconds after which the same call may succeed; None when a repetition does not help."""


class InvalidArgument(HeadraceError, ValueError):
    """A field of the request holds a bad value; .fields names each such field.

    The client raises it too, before a call.
    """

    exit_code = 2

    @classmethod
    def of(cls, field: str, description: str) -> Self:
        """The refusal of one field, as the client raises it."""
        return cls(f"{field}: {description}", fields=[FieldViolation(field, description)])


class InvalidParameter(InvalidArgument):
    """Parameters do not fit the signature of the job's type."""


class UnknownType(InvalidArgument):
    """No job of this type is registered on the server."""


class InvalidPageToken(InvalidArgument):
    """The page token is not one of this query and tenant."""


class OutOfRange(HeadraceError):
    """A watch was asked to resume from a revision that the job has not reached."""

    exit_code = 2


class PayloadTooLarge(HeadraceError):
    """The request or its answer is over the size that the transport allows."""

    exit_code = 2


class Unauthenticated(HeadraceError):
    """The server does not know who calls."""

    exit_code = 4


class PermissionDenied(HeadraceError):
    """The caller may not do this."""

    exit_code = 4


class JobNotFound(HeadraceError):
    """There is no such job in this tenant."""

    exit_code = 5


class RequestIdReused(HeadraceError):
    """The request_id was used to submit another job: .metadata["job_id"] says which."""


class WrongStatus(HeadraceError):
    """The status of the job does not allow what was asked: .metadata["status"] is what it is."""


class JobLocked(HeadraceError):
    """The job is locked against deletion."""


class EtagMismatch(HeadraceError):
    """The job was changed since the etag was read: get it again and decide anew."""


class Overloaded(HeadraceError):
    """The server accepts no more for now.

    The client has repeated the call for as long as it was allowed to.
    """

    exit_code = 6


class Unavailable(HeadraceError):
    """The server cannot be reached or cannot serve.

    The client has repeated the call before it raised this.
    """

    exit_code = 6


class Unsupported(HeadraceError):
    """The server has no such method.

    It is older than the client, or an instance that only runs jobs.
    """


class DeadlineExceeded(HeadraceError, TimeoutError):
    """The time that the caller allowed was over. What was asked for may still happen."""

    exit_code = 124
    job_id: str = ""
    """The job whose end was waited for; "" where it was another call."""
    job_status: str = ""
    """The status of that job when the time was over, if it is known."""

    @classmethod
    def of_job(cls, job_id: str, status: str, seconds: float, *, code: str = "") -> Self:
        """The error of who has waited so long for the end of a job."""
        stood = f"was still {status}" if status else "had not ended"
        error = cls(f"Job {job_id} {stood} after {round(seconds, 2):g} s.", code=code)
        error.job_id, error.job_status = job_id, status
        return error


class Cancelled(HeadraceError):
    """The call was cancelled, or its client was closed."""

    exit_code = 130


class InternalError(HeadraceError):
    """The server failed: the traceback is in its log."""

    @property
    def error_id(self) -> str:
        """The id that finds the traceback in the server's log, or an empty string.

        It is empty when the server gave none.
        """
        return self.metadata.get("error_id", "")


class _Ended(HeadraceError):
    """A job that ended without a result."""

    _verb: ClassVar[str]

    def __init__(self, job: JobInfo) -> None:
        super().__init__(f"Job {job.job_id} ({job.spec.type}) {self._verb}{_cause(job)}.")
        self.job = job
        """The job as it ended, with its error."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job,)


class JobFailed(_Ended):
    """The job whose result was asked for ended FAILED: .job.error says why."""

    _verb = "failed"


class JobAborted(_Ended):
    """The job whose result was asked for was stopped, or aborted itself."""

    exit_code = 3
    _verb = "was aborted"


def _cause(job: JobInfo) -> str:
    """Why a job ended without a result, to follow its verb."""
    if job.error is not None:
        text = ": ".join(part for part in (job.error.type, job.error.message) if part) or job.error.kind
    else:
        text = job.stop.reason if job.stop is not None else ""
    return f": {text.rstrip('.')}" if text else ""


def raise_unless_succeeded(job: JobInfo) -> None:
    """Raises JobFailed or JobAborted for a job that has ended without success."""
    if job.status is JobStatus.ABORTED:
        raise JobAborted(job)
    if job.status is not JobStatus.SUCCEEDED:
        raise JobFailed(job)


BY_REASON: Mapping[str, type[HeadraceError]] = {
    "CALL_TOO_LONG": DeadlineExceeded,
    "DRAINING": Unavailable,
    "ETAG_MISMATCH": EtagMismatch,
    "INTERNAL": InternalError,
    "INVALID_ARGUMENT": InvalidArgument,
    "INVALID_PAGE_TOKEN": InvalidPageToken,
    "INVALID_PARAMETER": InvalidParameter,
    "JOB_LOCKED": JobLocked,
    "JOB_NOT_FOUND": JobNotFound,
    "JOB_TYPE_UNKNOWN": UnknownType,
    "PERMISSION_DENIED": PermissionDenied,
    "QUEUE_FULL": Overloaded,
    "REQUEST_ID_REUSED": RequestIdReused,
    "REVISION_AHEAD": OutOfRange,
    "STORE_UNAVAILABLE": Unavailable,
    "LOADER_UNAVAILABLE": Unavailable,
    "TOO_MANY_CALLS": Overloaded,
    "TOO_MANY_WATCHERS": Overloaded,
    "UNAUTHENTICATED": Unauthenticated,
    "WORKER_ONLY": Unsupported,
    "WRONG_STATUS": WrongStatus,
}

BY_CODE: Mapping[str, type[HeadraceError]] = {
    "ABORTED": EtagMismatch,
    "ALREADY_EXISTS": RequestIdReused,
    "CANCELLED": Cancelled,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "FAILED_PRECONDITION": WrongStatus,
    "INTERNAL": InternalError,
    "INVALID_ARGUMENT": InvalidArgument,
    "NOT_FOUND": JobNotFound,
    "OUT_OF_RANGE": OutOfRange,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAUTHENTICATED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unsupported,
    "UNKNOWN": InternalError,
}
