"""Runs a job's code once, from its parameters to its ending.

Nothing that the code does leaves this module as an exception.
"""

import asyncio
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from headrace._work.attempt import (
    Declared,
    DeclaredAbort,
    DeclaredFailure,
    DeclaredSuccess,
    Ending,
    ErrorKind,
    JobStopped,
    ParameterError,
    Reporter,
    ResultNotSerializable,
    RunInfo,
)
from headrace._work.context import JobContext
from headrace._work.definition import JobDefinition
from headrace._work.failure import MESSAGE_MAX, NAME_MAX, cut, failure, format_traceback, its, undescribed
from headrace._work.forked import leave
from headrace._work.interrupt import interruptibly, run_coroutine
from headrace._work.resources import Resources
from headrace._work.results import RESULTS_MAX, Results
from headrace._work.stop import StopDelivery
from headrace.values import decode, loads


def execute(
    definition: JobDefinition,
    run: RunInfo,
    reporter: Reporter,
    resources: Resources,
    *,
    max_results: int = RESULTS_MAX,
) -> Ending:
    """Run the job's code to its end, on this thread, and say how it ended. Raises nothing.

    SETUP_FAILED: parameters that do not fit, a class or a resource that could not be made. A job
    ended by JobStopped gives an Ending that is aborted, without an error. SystemExit and
    KeyboardInterrupt of the job's code are exceptions of the job. max_results: bytes of all results
    together, beyond that RESULT_TOO_LARGE.
    """
    stop = StopDelivery(reporter)
    try:
        ending = _Run(definition, run, reporter, resources, stop=stop, results=Results(max_results)).ending()
    except JobStopped:  # a signal that came between the lines of this module
        ending = Ending(aborted=True, stop_seen=True)
    except BaseException as error:  # noqa: BLE001 - what the job raised has code of its own, and that raised too
        ending = Ending(error=undescribed(its(error, "__context__") or error), stop_seen=stop.seen)
    return replace(ending, interrupted=True) if stop.interrupted else ending


class TaskRun:
    """One run as a task of an event loop that others share: see `execute`.

    Whoever owns the loop makes a task of `end()`, looks for stops with `look`, and reads `ending`
    when the task is done. beside: whether the run has other tasks than that.
    """

    def __init__(
        self,
        definition: JobDefinition,
        run: RunInfo,
        reporter: Reporter,
        resources: Resources,
        *,
        beside: Callable[[], bool],
        max_results: int = RESULTS_MAX,
    ) -> None:
        self._stop = StopDelivery(reporter)
        self._stop.cancels = beside
        self._run = _Run(definition, run, reporter, resources, stop=self._stop, results=Results(max_results))
        self._task: asyncio.Task[Any] | None = None
        self._ending: Ending | None = None

    async def end(self) -> None:
        """Run the job's code to its end. Raises nothing."""
        self._task = asyncio.current_task()
        try:
            self._ending = await self._run.ending_on_loop()
        except JobStopped:
            self._ending = Ending(aborted=True, stop_seen=True)
        except BaseException as error:  # noqa: BLE001 - as in `execute`
            self._ending = Ending(
                error=undescribed(its(error, "__context__") or error), stop_seen=self._stop.seen
            )
        finally:
            self._task = None

    @property
    def ending(self) -> Ending:
        """How it ended; for a task that was cancelled before its first step, by that."""
        ended = self._ending or Ending(error=failure(asyncio.CancelledError()), stop_seen=self._stop.seen)
        return replace(ended, interrupted=True) if self._stop.interrupted else ended

    def look(self) -> None:
        """Cancel the job's code once if a stop is due: see StopDelivery."""
        if self._task is not None and self._stop.due():
            self.interrupt()

    def interrupt(self) -> None:
        """Cancel the job's code where it stands, each time that this is called."""
        if self._task is not None:
            self._stop.interrupted = True
            self._stop.take()
            self._task.cancel()


class _Run:
    def __init__(
        self,
        definition: JobDefinition,
        run: RunInfo,
        reporter: Reporter,
        resources: Resources,
        *,
        stop: StopDelivery,
        results: Results,
    ) -> None:
        self.definition = definition
        self.run = run
        self.reporter = reporter
        self.resources = resources
        self.stop = stop
        self.results = results
        self.pid = os.getpid()
        self.recursion_limit = sys.getrecursionlimit()

    def ending(self) -> Ending:
        try:
            context, call, keywords = self._prepared()
        except JobStopped as error:
            self._code_has_ended(error)
            raise
        except BaseException as error:  # noqa: BLE001 - the job's constructor may raise anything
            self._code_has_ended(error)
            return self._not_prepared(error)
        try:
            value = self._returned(call, context, keywords)
            self._code_has_ended(None)
            return Ending(result=self.results.returned(value), stop_seen=self.stop.seen)
        except BaseException as error:  # noqa: BLE001 - and so may its code
            self._code_has_ended(error)
            return self._raised(error, context)

    async def ending_on_loop(self) -> Ending:
        """Do the same for a coroutine, on the loop that runs."""
        try:
            context, call, keywords = self._prepared()
        except JobStopped as error:
            self._end_fork(error)
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self._end_fork(error)
            return self._not_prepared(error)
        try:
            value = self._dumped(await self._awaited(call(context, **keywords)))
            self._end_fork(None)
            return Ending(result=self.results.returned(value), stop_seen=self.stop.seen)
        except BaseException as error:  # noqa: BLE001 - as above
            self._end_fork(error)
            return self._raised(error, context)

    async def _awaited(self, awaitable: Awaitable[Any]) -> Any:
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self.stop.raised:
                raise self.stop.take() from None
            raise

    def _prepared(self) -> tuple[JobContext, Callable[..., Any], Mapping[str, Any]]:
        params = parameters(self.definition, self.run.parameters)
        context = JobContext(
            self.run,
            params,
            self.reporter,
            self.resources,
            stop=self.stop,
            results=self.results,
            workspace=self.definition.workspace,
        )
        return context, self._callable(), self._keywords(params)

    def _not_prepared(self, error: BaseException) -> Ending:
        return Ending(error=failure(error, kind=ErrorKind.SETUP_FAILED), stop_seen=self.stop.seen)

    def _code_has_ended(self, error: BaseException | None) -> None:
        """Restore the recursion limit, and end this process if the job has forked it.

        The rest of the run goes on as if the job had not been.
        """
        sys.setrecursionlimit(self.recursion_limit)
        self._end_fork(error)

    def _end_fork(self, error: BaseException | None) -> None:
        """End this process if the job has forked it."""
        if os.getpid() != self.pid:
            leave(error)

    def _callable(self) -> Callable[..., Any]:
        target = self.definition.target
        if not isinstance(target, type):
            return target
        return interruptibly(self.stop, target).run  # type: ignore[no-any-return]

    def _keywords(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        signature = self.definition.signature
        if signature.by_keyword or signature.extra is None:
            return params
        return {}  # run(self, ctx) reads its parameters with ctx.param

    def _returned(self, call: Callable[..., Any], context: JobContext, keywords: Mapping[str, Any]) -> Any:
        def code() -> Any:
            value = call(context, **keywords)
            return run_coroutine(value, self.stop) if inspect.isawaitable(value) else value

        return self._dumped(interruptibly(self.stop, code))

    def _dumped(self, value: Any) -> Any:
        signature = self.definition.signature
        if value is None or signature.plain_result:
            return value
        try:
            return signature.coercion.dump_result(value)
        except Exception as error:
            raise ResultNotSerializable(f"result: {error}") from error

    def _raised(self, error: BaseException, context: JobContext) -> Ending:
        seen = self.stop.seen
        step = context.failed_step(error)
        match _decisive(error):
            case JobStopped():
                return Ending(aborted=True, stop_seen=True)
            case DeclaredSuccess() as declared:
                return Ending(result=declared.result, insisted=True, stop_seen=seen)
            case DeclaredAbort() as declared:
                reason = str(declared)
                return Ending(
                    error=_declared(declared, reason, step=step) if reason else None,
                    aborted=True,
                    stop_seen=seen,
                )
            case DeclaredFailure() as declared:
                said = _declared(declared, declared.message, code=declared.code, step=step)
                return Ending(error=said, retry=declared.retry, stop_seen=seen)
            case other:
                return Ending(error=failure(other, step=step), stop_seen=seen)


def parameters(definition: JobDefinition, text: str) -> dict[str, Any]:
    """The parameters as the function wants them, from the JSON text of a dict of plain values.

    Raises ParameterError where they do not fit the signature, UnsupportedValue for a kind of value
    it does not know.
    """
    signature = definition.signature
    given = {name: decode(value) for name, value in loads(text).items()}
    if misfits := signature.misfits(list(given)):
        raise ParameterError(" ".join(f"{name}: {sentence}" for name, sentence in misfits.items()))
    if not signature.plain:
        given, problems = signature.coercion.validate(given)
        if problems:
            raise ParameterError(" ".join(f"{path}: {sentence}" for path, sentence in problems))
    return given


def _decisive(error: BaseException) -> BaseException:
    """Return the exception that decides the ending, taken out of an exception group.

    An error that is no group, or has no deciding exception in it, is returned itself. A task group
    wraps what the job raised in one of its tasks.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = list(_leaves(error))
    for control in (JobStopped, Declared):
        for leaf in leaves:
            if isinstance(leaf, control):
                return leaf
    return error


def _leaves(group: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of the groups within it, in order.

    It does not recurse: a group may be nested too deep for that.
    """
    rest = [group]
    while rest:
        error = rest.pop()
        if isinstance(error, BaseExceptionGroup):
            # Not error.exceptions: a class of the job's may have another.
            rest += reversed(BaseExceptionGroup.exceptions.__get__(error))
        else:
            yield error


def _declared(error: Declared, message: str, *, step: str, code: str = "") -> dict[str, Any]:
    """Return the fields of the error that a job declared.

    The traceback is that of the exception that the job was handling, if any.
    """
    cause = its(error, "__cause__") or its(error, "__context__")
    return {
        "kind": int(ErrorKind.DECLARED),
        "message": cut(message, MESSAGE_MAX),
        "code": cut(code, NAME_MAX),
        "type": "",
        "step": cut(step, NAME_MAX),
        "traceback": format_traceback(cause) if cause else "",
    }
