"""The context that is passed to a job's code: its identity, its parameters and its reports."""

import builtins
import operator
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar, overload

from headrace._work.attempt import (
    DeclaredAbort,
    DeclaredFailure,
    DeclaredSuccess,
    Level,
    ParameterError,
    Reporter,
    RunInfo,
)
from headrace._work.log import JobLogger, clean
from headrace._work.resources import Resources
from headrace._work.results import Results
from headrace._work.signature import REQUIRED, coerce_module
from headrace._work.stop import StopDelivery

T = TypeVar("T")
D = TypeVar("D")

COUNT_MAX: Final = 2**63 - 1
"""The most ticks that progress can tell of: an int64 of the contract."""

_step: ContextVar[str] = ContextVar("headrace_step", default="")


class JobContext:
    """The first argument of every job.

    Once a stop was asked for, the next use of the context raises JobStopped: reports, `param`,
    `workspace`, `step`, `check_stop`. It does so once, so that the clean-up of the job can still
    report. A job that reads `stop_requested` as True has been told, and gets no exception from its
    reports. May be used from any thread.
    """

    job_id: str
    type: str
    attempt: int
    """1 for the first start of the job's code."""
    tenant: str
    owner: str
    session_id: str
    description: str
    labels: Mapping[str, str]
    traceparent: str
    """The W3C trace context of the call that submitted the job, or an empty string.

    The job passes it on with the calls that it makes. It is empty when the call had none.
    """
    params: Mapping[str, Any]
    """The parameters that the caller gave, as Python values.

    Defaults of the signature are not filled in.
    """
    resources: Resources
    """The objects made once in each process: `ctx.resources.<name>`."""
    fence: int
    """The claim number, which rises each time that an instance takes the job.

    A job that writes to another system passes it on, and that system refuses a number lower than
    one it has seen: so a replaced run can write nothing.
    """

    def __init__(
        self,
        run: RunInfo,
        params: Mapping[str, Any],
        reporter: Reporter,
        resources: Resources,
        *,
        stop: StopDelivery | None = None,
        results: Results | None = None,
        workspace: bool = True,
    ) -> None:
        """Make a context; only code that runs jobs needs the other arguments.

        workspace: whether the job may use one.
        """
        for name in _OF_RUN:
            setattr(self, name, getattr(run, name))
        self.labels = MappingProxyType(dict(run.labels))
        self.params = MappingProxyType(dict(params))
        self.resources = resources
        self.fence = run.claim
        self._reporter = reporter
        self._stop = stop or StopDelivery(reporter)
        self._results = results or Results()
        self._may_use_workspace = workspace
        self._lock = threading.RLock()
        self._done = 0
        self._total: int | None = None
        self._doing = ""
        self._failed: tuple[BaseException, str] | None = None

    @overload
    def param(self, name: str) -> Any: ...
    @overload
    def param(self, name: str, type: builtins.type[T]) -> T: ...
    @overload
    def param(self, name: str, type: builtins.type[T], default: D) -> T | D: ...
    @overload
    def param(self, name: str, *, default: Any) -> Any: ...
    def param(self, name: str, type: Any = None, default: Any = REQUIRED) -> Any:  # noqa: A002 - the contract's word
        """A parameter by name, checked to be of a type. Not given: the default.

        A type other than that of the value is converted to with pydantic, as in a signature. Raises
        ParameterError when there is neither value nor default, or the value is not of the type.
        """
        self._stop.check()
        if name not in self.params:
            if default is REQUIRED:
                raise ParameterError(f"parameter {name!r} is required")
            return default
        value = self.params[name]
        if type is None or _is(value, type):
            return value
        try:
            return float(value) if type is float and _is(value, int) else coerce_module().parse(type, value)
        except (ImportError, ValueError) as error:
            wanted = getattr(type, "__name__", type)
            raise ParameterError(f"parameter {name!r} is to be {wanted}, not {value!r}") from error

    @property
    def workspace(self) -> Path:
        """A private directory of this run, made on first use.

        It is removed when the run has ended, however it ends.

        The job has to say that it needs one, `@job(…, workspace=True)`, so that it is not started
        on a full disk. Raises RuntimeError where it does not.
        """
        self._stop.check()
        if not self._may_use_workspace:
            raise RuntimeError(
                f"{self.type} uses its workspace without saying so: @job({self.type!r}, workspace=True), "
                "or workspace = True in its class"
            )
        with self._lock:
            return self._reporter.workspace()

    # Progress

    def set_total(self, n: int) -> None:
        """Say how many ticks there are in all.

        As everywhere in progress: TypeError for what is no int, ValueError for one below 0 or
        beyond 64 bits (2**63 - 1).
        """
        self._progress(total=n)

    def advance(self, k: int = 1) -> None:
        """Say that k more ticks are done."""
        self._progress(more=k)

    def set_progress(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far the job is, and what it is doing. None leaves total or message as it was."""
        self._progress(done=done, total=total, message=message)

    def _progress(
        self, *, done: int | None = None, more: int = 0, total: int | None = None, message: str | None = None
    ) -> None:
        self._stop.check()
        with self._lock:
            now = operator.index(self._done if done is None else done) + operator.index(more)
            in_all = self._total if total is None else operator.index(total)
            if now < 0 or more < 0 or (in_all or 0) < 0:
                raise ValueError("progress is not negative, and does not go backwards by advance")
            if max(now, in_all or 0) > COUNT_MAX:
                raise ValueError(f"progress counts to 2**63 - 1, not to {max(now, in_all or 0)}")
            self._done, self._total = now, in_all
            self._doing = self._doing if message is None else clean(message)
            self._reporter.progress(self._done, self._total, self._doing)

    def track(self, iterable: Iterable[T], total: int | None = None) -> Iterator[T]:
        """The items of iterable, one tick for each when its turn is over.

        total is its length, where it has one that can be counted in 64 bits. Raises ValueError for
        one given that cannot.
        """
        if total is None:
            total = self._length(iterable)
        if total is not None:
            self.set_total(self._done + total)
        for item in iterable:
            self._stop.check()
            yield item
            self.advance()

    def _length(self, iterable: Iterable[Any]) -> int | None:
        """The length of an iterable, None where it has none, or one too large to be told."""
        try:
            length = operator.length_hint(iterable)
        except OverflowError:  # range(10**30)
            return None
        return length if 0 < length <= COUNT_MAX - self._done else None

    # Messages

    def message(self, level: Level | int | str, text: str) -> None:
        """Log a message of the level "debug", "info", "warning" or "error".

        The level may also be its number, 1 to 4. Raises ValueError for another.
        """
        self._stop.check()
        try:
            known = Level[level.upper()] if isinstance(level, str) else Level(level)
        except (KeyError, ValueError):
            names = ", ".join(repr(name.lower()) for name in Level.__members__)
            raise ValueError(f"a level is one of {names}, not {level!r}") from None
        with self._lock:
            self._reporter.message(int(known), clean(str(text)))

    @cached_property
    def log(self) -> JobLogger:
        """A logger whose records become messages of the job.

        Fields are given by name: `log.info("saved", rows=3)`.
        """
        identity = {"job_id": self.job_id, "job_type": self.type, "attempt": self.attempt}
        return JobLogger(self.message, identity)

    # Results

    def set_result(self, name: str, value: Any) -> None:
        """Set a named result, at once visible to watchers; the last of a name counts.

        Raises ResultNotSerializable for a value of no kind, ResultTooLarge when the results pass 1
        MiB together, and ValueError for a name that is not 1 to 100 characters long.
        """
        self._stop.check()
        with self._lock:
            self._reporter.result(name, self._results.named(name, value))

    # Stop

    @property
    def stop_requested(self) -> bool:
        """Whether a stop was requested.

        A job that has read True counts as stopped unless it calls ctx.succeed.
        """
        return self._stop.requested()

    @property
    def stop_reason(self) -> str:
        """The reason that the caller of the stop gave; empty without one."""
        return self._reporter.stop_reason()

    def check_stop(self) -> None:
        """Raise JobStopped if a stop was asked for, unless it was raised before."""
        self._stop.check(told=False)

    # Endings

    def fail(self, code: str, message: str, retry: bool = False) -> NoReturn:
        """End the job FAILED with an error code of its own.

        It is not tried again unless retry is True.
        """
        raise DeclaredFailure(clean(code), clean(message), retry=retry)

    def abort(self, reason: str = "") -> NoReturn:
        """End the job ABORTED by its own wish."""
        raise DeclaredAbort(clean(reason))

    def succeed(self, value: Any = None) -> NoReturn:
        """End the job SUCCEEDED with a result, even when a stop was requested.

        Raises what set_result raises.
        """
        raise DeclaredSuccess(self._results.returned(value))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A part of the job: an error that leaves it names the step. Steps nest: "load/parse"."""
        self._stop.check()
        path = f"{_step.get()}/{name}".lstrip("/")
        token = _step.set(path)
        try:
            yield
        except BaseException as error:
            if (
                self._failed is None or self._failed[0] is not error
            ):  # the innermost step is the first to see it
                self._failed = (error, path)
            raise
        finally:
            _step.reset(token)

    def failed_step(self, error: BaseException) -> str:
        """The step that an error left first, empty for none."""
        return clean(self._failed[1]) if self._failed and self._failed[0] is error else ""


_OF_RUN: Final = tuple(
    field.name
    for field in fields(RunInfo)
    if field.name in JobContext.__annotations__ and field.name != "labels"
)
"""The fields that a context copies unchanged from its run: those that both have by one name."""


def _is(value: Any, wanted: Any) -> bool:
    """Return whether a value is of a type, as callers see it.

    To Python a bool is an int; to callers it is not.
    """
    if not isinstance(wanted, type) or not isinstance(value, wanted):
        return False
    return not isinstance(value, bool) or wanted in (bool, object)
