"""How a module says that it has jobs and resources: marks on its functions, subclasses of Job.

There is no global register. `@job` and `@resource` mark a function and give it back as it was;
`headrace.jobs.load` looks into a module for what is marked. So a module can be imported twice, or
by a test, without any effect.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, TypeVar, overload

from headrace._models.retry_policy import RetryPolicy
from headrace._work.signature import Signature, read_signature

F = TypeVar("F", bound=Callable[..., Any])

CONCURRENCY_MAX = 1_000
"""The most runs that may share a worker process."""

TIMEOUT_MAX = timedelta(seconds=315_576_000_000)
"""10,000 years: the longest length of time of the contract."""

_ONE_ATTEMPT = RetryPolicy()
_JOB = "__headrace_job__"
_RESOURCE = "__headrace_resource__"
_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Job:
    """A job as a class: give it a `type` and a method `run(self, ctx, …)`.

    An instance is made for each run, without arguments. The parameters of the job are those of
    `run` behind ctx; a `run` that has none takes any, to be read with ctx.param. A class without a
    `type` of its own is no job, so that jobs can share a base class.
    """

    type: ClassVar[str]
    retry_policy: ClassVar[RetryPolicy] = RetryPolicy()
    attempt_timeout: ClassVar[timedelta | None] = None
    workspace: ClassVar[bool] = False
    fresh: ClassVar[bool] = False
    concurrency: ClassVar[int] = 1

    # Not declared as a method: the parameters behind ctx are the subclass's own.
    run: Callable[..., Any]


_NEAR_MISSES = {"retry": ("retry_policy", RetryPolicy), "timeout": ("attempt_timeout", timedelta)}
"""Attribute names that an author may set on a Job by mistake, with the right name and type.

Without a check the setting would be ignored silently.
"""


@dataclass(frozen=True)
class JobDefinition:
    """A registered type: its function or class, and its defaults for jobs that do not set them."""

    type: str
    target: Callable[..., Any]
    retry_policy: RetryPolicy = _ONE_ATTEMPT
    attempt_timeout: timedelta | None = None
    workspace: bool = False
    fresh: bool = False
    """Whether each run has a worker process of its own."""
    concurrency: int = 1
    """How many runs may share a worker process."""

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not _TYPE.fullmatch(self.type):
            raise ValueError(
                f"a job type is 1 to 100 letters, digits, '.', '_' and '-', such as 'image.resize', not {self.type!r}"
            )
        if self.attempt_timeout is not None:
            self._check_timeout(self.attempt_timeout)
        if not isinstance(self.retry_policy, RetryPolicy):
            raise TypeError(f"the retry_policy of {self.type} is a RetryPolicy, not {self.retry_policy!r}")
        self._check_concurrency()

    def _check_concurrency(self) -> None:
        if not isinstance(self.concurrency, int) or isinstance(self.concurrency, bool):
            raise TypeError(f"the concurrency of {self.type} is a whole number, not {self.concurrency!r}")
        if self.concurrency == 1:
            return
        if not 1 <= self.concurrency <= CONCURRENCY_MAX:
            raise ValueError(
                f"the concurrency of {self.type} is from 1 to {CONCURRENCY_MAX}, not {self.concurrency}"
            )
        if self.fresh:
            raise ValueError(
                f"{self.type} is both fresh and has a concurrency: a run has a worker process of its own, "
                "or shares one"
            )
        if not inspect.iscoroutinefunction(self.function):
            raise ValueError(
                f"{self.type} has a concurrency, and is no async def: only coroutines can share a worker "
                "process; other jobs run beside each other in several workers"
            )

    def _check_timeout(self, timeout: timedelta) -> None:
        if not isinstance(timeout, timedelta):
            raise TypeError(f"the attempt_timeout of {self.type} is a timedelta, not {timeout!r}")
        if timeout <= timedelta(0):
            raise ValueError(f"the attempt_timeout of {self.type} is not above zero")
        if timeout > TIMEOUT_MAX:
            raise ValueError(
                f"the attempt_timeout of {self.type} is longer than 10,000 years; None is no limit"
            )

    @property
    def module(self) -> str:
        """The module that it was written in."""
        return self.target.__module__

    @property
    def name(self) -> str:
        """The function or class, for messages: module and qualified name."""
        return f"{self.module}.{self.target.__qualname__}"

    @property
    def function(self) -> Callable[..., Any]:
        """The function whose signature counts: `run` for a class."""
        return self.target.run if isinstance(self.target, type) else self.target  # type: ignore[attr-defined]

    @property
    def origin(self) -> tuple[str, str]:
        """The place where the code was written.

        It is the same for one source file that is imported under two names.
        """
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return (code.co_filename if code else self.module, self.target.__qualname__)

    @cached_property
    def signature(self) -> Signature:
        """The parameters and the result of the job.

        Raises TypeError or NameError when they cannot be understood.
        """
        return read_signature(self.function, is_class=isinstance(self.target, type))


@dataclass(frozen=True)
class ResourceDefinition:
    """A function that makes an object once in each worker process.

    Jobs ask for the object by the name of the resource.
    """

    name: str
    make: Callable[[], Any]
    threads: bool = False
    """Whether the object starts threads of its own also while jobs use it."""


def job(
    type: str,  # noqa: A002 - the word of the contract
    *,
    retry_policy: RetryPolicy | None = None,
    attempt_timeout: timedelta | None = None,
    workspace: bool = False,
    fresh: bool = False,
    concurrency: int = 1,
) -> Callable[[F], F]:
    """Make a function a job: `@job("image.resize", retry_policy=RetryPolicy(max_attempts=3))`.

    The first parameter of the function is the JobContext; the others are the job's parameters,
    given by name. It may be `async def`. What it returns is the job's result. The function itself
    stays as it is, and can be called.

    attempt_timeout is the longest run of one attempt. workspace: it uses ctx.workspace, so that it
    waits in its queue while the disk is too full for that. fresh: each run has a worker process of
    its own, in which no job has run before and none will after; one is made ahead, so that it costs
    the start of a process, but no wait while there is one. concurrency: so many runs of an `async
    def` share a worker process and its event loop, so that one that waits costs no process; what
    they then have in common stands in docs/jobs.md. Raises ValueError or TypeError where the mark
    itself is wrong.
    """
    if not isinstance(type, str):
        raise TypeError('a job needs a type: @job("image.resize")')

    def mark(function: F) -> F:
        if not inspect.isfunction(function):
            raise TypeError(
                f"@job is for functions, not {function!r}; a class derives from headrace.jobs.Job"
            )
        setattr(
            function,
            _JOB,
            JobDefinition(
                type,
                function,
                retry_policy or RetryPolicy(),
                attempt_timeout,
                workspace,
                fresh,
                concurrency,
            ),
        )
        return function

    return mark


@overload
def resource(name: F) -> F: ...
@overload
def resource(name: str | None = None, *, threads: bool = False) -> Callable[[F], F]: ...
def resource(name: F | str | None = None, *, threads: bool = False) -> F | Callable[[F], F]:
    """Mark a function that makes an object once in each worker process.

    The function has no parameters. Jobs read the object as ctx.resources.<name>.

    The name is the function's own, or the one given: `@resource("database")`. The object is made
    when a job first asks for it. A function that yields is gone on with when the process ends, the
    last made first.

    threads: the object starts threads also later, while jobs use it, as a thread pool does. A
    worker in which a run has left threads is replaced, but not for those left by a run that has
    used such a resource. Threads that start while the object is made belong to it in any case.
    """
    if name is not None and not isinstance(name, str):
        return resource()(name)

    def mark(function: F) -> F:
        named = function.__name__ if name is None else name
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"resource {named} is async: a resource outlives the event loop of one job")
        setattr(function, _RESOURCE, ResourceDefinition(named, function, threads))
        return function

    return mark


def definition_of(thing: object) -> JobDefinition | None:
    """Return the job that a function or class defines, or None.

    Raises ValueError or TypeError for a class that defines its job badly.
    """
    if inspect.isfunction(thing):
        marked: JobDefinition | None = vars(thing).get(_JOB)
        # functools.wraps copies the mark to the wrapper: it is the wrapper that is to be called.
        return marked and replace(marked, target=thing)
    if not isinstance(thing, type) or not issubclass(thing, Job):
        return None
    if "type" not in vars(thing) or inspect.isabstract(thing):
        return None
    if not callable(getattr(thing, "run", None)):
        raise TypeError(f"job class {thing.__qualname__} has no method run")
    for name, (right, kind) in _NEAR_MISSES.items():
        if isinstance(getattr(thing, name, None), kind):
            raise TypeError(
                f"job class {thing.__qualname__} sets {name}, which nobody reads: call it {right}"
            )
    return JobDefinition(
        thing.type,
        thing,
        thing.retry_policy,
        thing.attempt_timeout,
        thing.workspace,
        thing.fresh,
        thing.concurrency,
    )


def resource_of(thing: object) -> ResourceDefinition | None:
    """The resource that a function makes, or None."""
    return vars(thing).get(_RESOURCE) if inspect.isfunction(thing) else None
