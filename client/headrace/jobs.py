"""The names that the authors of jobs import.

    @job("image.resize", retry_policy=RetryPolicy(max_attempts=3),
    attempt_timeout=timedelta(minutes=5)) def resize(ctx: JobContext, file: str, width: int = 32,
    height: int = 32) -> dict[str, int]: ...

    class Checksum(Job):
        type = "files.checksum"
        def run(self, ctx: JobContext, file: File) -> str: ...

    @resource
    def database() -> Iterator[Connection]:
        with connect() as connection:
            yield connection

A job reports through its context only. Parameters are of the kinds in `headrace.values`, or of any
type that pydantic can make from one: an Enum, a dataclass, a UUID. `headrace.testing` calls a job
in a plain unit test.

A worker uses the rest: `load` finds the jobs of modules, `execute` runs one, `interrupt` is its
answer to SIGTERM, a `TaskRun` is one of several runs on one event loop.
"""

from headrace._models.retry_policy import RetryPolicy
from headrace._work.attempt import (
    Declared,
    DeclaredAbort,
    DeclaredFailure,
    DeclaredSuccess,
    Ending,
    ErrorKind,
    JobStopped,
    Level,
    ParameterError,
    Reporter,
    ResourceFailed,
    ResultNotSerializable,
    ResultTooLarge,
    RunInfo,
)
from headrace._work.context import JobContext
from headrace._work.definition import Job, JobDefinition, ResourceDefinition, job, resource
from headrace._work.execute import TaskRun, execute
from headrace._work.fingerprint import Fingerprint, fingerprint
from headrace._work.interrupt import interrupt
from headrace._work.load import Loaded, installed, load
from headrace._work.log import JobLogger
from headrace._work.resources import Resources
from headrace._work.signature import Parameter, Signature, is_plain
from headrace._work.threads import starting_threads, thread_names, threads
from headrace.values import File, Reference

__all__ = [
    "Declared",
    "DeclaredAbort",
    "DeclaredFailure",
    "DeclaredSuccess",
    "Ending",
    "ErrorKind",
    "File",
    "Fingerprint",
    "Job",
    "JobContext",
    "JobDefinition",
    "JobLogger",
    "JobStopped",
    "Level",
    "Loaded",
    "Parameter",
    "ParameterError",
    "Reference",
    "Reporter",
    "ResourceDefinition",
    "ResourceFailed",
    "Resources",
    "ResultNotSerializable",
    "ResultTooLarge",
    "RetryPolicy",
    "RunInfo",
    "Signature",
    "TaskRun",
    "execute",
    "fingerprint",
    "installed",
    "interrupt",
    "is_plain",
    "job",
    "load",
    "resource",
    "starting_threads",
    "thread_names",
    "threads",
]

# Errors are shown by these names: where a class is written is nobody's business.
for _error in (
    Declared,
    DeclaredAbort,
    DeclaredFailure,
    DeclaredSuccess,
    JobStopped,
    ParameterError,
    ResourceFailed,
    ResultNotSerializable,
    ResultTooLarge,
):
    _error.__module__ = __name__
