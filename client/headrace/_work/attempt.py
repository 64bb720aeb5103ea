"""One attempt at a job, as seen by the worker that runs it and by the library.

The types here describe what goes in, what comes out and how the attempt ends.

    BaseException
    ├── JobStopped             a stop has reached the job's code
    └── Declared               the job said how it ends
        ├── DeclaredFailure    ctx.fail
        ├── DeclaredAbort      ctx.abort
        └── DeclaredSuccess    ctx.succeed

These are no Exceptions, so that `except Exception` in a job does not swallow them. `finally` and
`with` clean up as always. An `except BaseException` that does not raise again does swallow them:
the job then goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol


class ErrorKind(IntEnum):
    """The kinds of JobError that a run itself can end with.

    The numbers are those of the contract.
    """

    EXCEPTION = 1
    DECLARED = 2
    SETUP_FAILED = 8
    RESULT_TOO_LARGE = 9
    RESULT_NOT_SERIALIZABLE = 10


class Level(IntEnum):
    """How serious a message is; the numbers are those of JobMessageLogged.Level in the contract."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4


class JobStopped(BaseException):
    """A stop was requested.

    Do not catch it; clean up in `finally`. Its text is the reason that the caller gave.
    """


class Declared(BaseException):
    """The job said how it ends."""


class DeclaredFailure(Declared):
    """ctx.fail: FAILED with the job's own code, and tried again only if the job says so."""

    def __init__(self, code: str, message: str, *, retry: bool) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry = retry


class DeclaredAbort(Declared):
    """ctx.abort: ABORTED by the job's own wish. Its text is the reason."""


class DeclaredSuccess(Declared):
    """ctx.succeed was called: the job ends SUCCEEDED, even when a stop was requested.

    `result` is the JSON text of a plain value, or None.
    """

    def __init__(self, result: str | None) -> None:
        super().__init__()
        self.result = result


class ResultTooLarge(ValueError):
    """The results of the job are together over their limit, which is 1 MiB by default.

    If it is not caught, the job ends FAILED with RESULT_TOO_LARGE.
    """


class ResultNotSerializable(TypeError):
    """A result is of a type that no value can hold.

    If it is not caught, the job ends FAILED with RESULT_NOT_SERIALIZABLE.
    """


class ParameterError(ValueError):
    """A parameter is missing, is not one of the job's, or is not of the wanted type."""


class ResourceFailed(Exception):
    """A resource could not be made. Uncaught, the attempt ends with SETUP_FAILED."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The data that a worker gets about the job it runs.

    `parameters` is the JSON text of a dict of plain values.

    claim rises with each time that an instance takes the job; attempt counts the starts of its
    code.
    """

    job_id: str
    claim: int
    type: str
    attempt: int = 1
    tenant: str = "default"
    owner: str = ""
    session_id: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    parameters: str = "{}"


class Reporter(Protocol):
    """The receiver of the reports of a run.

    It is called from any thread of the job, with one report at a time.
    """

    def progress(self, done: int, total: int | None, message: str) -> None:
        """The latest progress, at any rate: the receiver thins it out."""
        ...

    def message(self, level: int, text: str) -> None:
        """A message: a level of the contract, and text of any length without NUL."""
        ...

    def result(self, name: str, value: str) -> None:
        """A named result, as the JSON text of a plain value."""
        ...

    def stop_requested(self) -> bool:
        """Return whether a stop was requested.

        It is called at every use of the context, so it has to be cheap.
        """
        ...

    def stop_reason(self) -> str:
        """The reason that the caller of the stop gave; empty before there is one."""
        ...

    def workspace(self) -> Path:
        """The private directory of the run, made by the first call."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    error is None for a return, else a dict with the fields of JobError: kind (a number of
    ErrorKind), message, code, type, step, traceback. result is the JSON text of what was returned,
    None for None. aborted: the job aborted itself, or the stop ended it. retry: ctx.fail asked for
    another attempt. stop_seen: the stop had reached the job's code. insisted: it called
    ctx.succeed. interrupted: a signal or a cancellation cut its code off where it stood, so what it
    was using may be half-used.
    """

    error: dict[str, Any] | None = None
    aborted: bool = False
    retry: bool = False
    stop_seen: bool = False
    insisted: bool = False
    interrupted: bool = False
    result: str | None = None
