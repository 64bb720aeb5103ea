"""Jobs in a plain unit test, without a server.

    run = run_job(resize, file="x.png", width=3)
    assert run.result == {"width": 3}
    assert run.messages == [(Level.INFO, "resized")]

`run_job` goes the whole way that a worker goes: parameters to their plain form and back, the call,
the ending. To call a function alone, give it a `context()`: then ctx.fail and its like raise
headrace.jobs.Declared.
"""

import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace._work.attempt import Ending, Level, RunInfo
from headrace._work.context import JobContext
from headrace._work.definition import JobDefinition, definition_of
from headrace._work.execute import execute
from headrace._work.resources import Resources
from headrace.values import decode, dumps, encode

__all__ = ["JobRun", "RecordedContext", "Recorder", "context", "run_job"]


@dataclass(eq=False)
class Recorder:
    """Keeps what a job reports.

    stop_after: a stop is asked for after so many reports, or so much time; None for never.
    directory: the workspace; None for a temporary one, removed with the recorder.
    """

    stop_after: int | timedelta | None = None
    reason: str = ""
    directory: Path | None = None
    reports: list[tuple[int, int | None, str]] = field(default_factory=list)
    """Every progress: done, total and message."""
    messages: list[tuple[Level, str]] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    """Named results as Python values."""
    _began: float = field(default_factory=time.monotonic)
    _count: int = 0

    def progress(self, done: int, total: int | None, message: str) -> None:
        """Keep a progress."""
        self._count += 1
        self.reports.append((done, total, message))

    def message(self, level: int, text: str) -> None:
        """Keep a message."""
        self._count += 1
        self.messages.append((Level(level), text))

    def result(self, name: str, value: str) -> None:
        """Keep a named result."""
        self._count += 1
        self.results[name] = decode(json.loads(value))

    def stop(self, reason: str = "") -> None:
        """Ask for a stop now."""
        self.stop_after, self.reason = 0, reason

    def stop_requested(self) -> bool:
        """Whether a stop is asked for by now."""
        if isinstance(self.stop_after, timedelta):
            return time.monotonic() - self._began >= self.stop_after.total_seconds()
        return self.stop_after is not None and self._count >= self.stop_after

    def stop_reason(self) -> str:
        """The reason of the stop, once it is asked for."""
        return self.reason if self.stop_requested() else ""

    def workspace(self) -> Path:
        """The directory given, or a temporary one."""
        if self.directory is None:
            self.directory = Path(tempfile.mkdtemp(prefix="headrace-"))
            weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        return self.directory


class RecordedContext(JobContext):
    """A JobContext that keeps in `recorded` what the job reports."""

    recorded: Recorder


@dataclass(frozen=True)
class JobRun:
    """The outcome of a job.

    `ending` is what a worker would report to the server.
    """

    ending: Ending
    recorded: Recorder

    @property
    def succeeded(self) -> bool:
        """Whether a server would call it SUCCEEDED."""
        ending = self.ending
        return ending.error is None and not ending.aborted and (ending.insisted or not ending.stop_seen)

    @property
    def aborted(self) -> bool:
        """Whether a server would call the job ABORTED.

        The job aborts by its own choice, or by a stop that it has seen.
        """
        return self.ending.aborted or (self.ending.stop_seen and not self.succeeded)

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The fields of its JobError: kind, message, code, type, step, traceback."""
        return self.ending.error

    @property
    def result(self) -> Any:
        """The value that the job returned, as a client would read it."""
        return None if self.ending.result is None else decode(json.loads(self.ending.result))

    @property
    def results(self) -> Mapping[str, Any]:
        """Its named results."""
        return self.recorded.results

    @property
    def messages(self) -> list[tuple[Level, str]]:
        """Its messages."""
        return self.recorded.messages

    @property
    def progress(self) -> list[tuple[int, int | None, str]]:
        """Every progress: done, total and message."""
        return self.recorded.reports


def context(
    *,
    params: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    workspace: Path | None = None,
    stop_after: int | timedelta | None = None,
    **identity: Any,
) -> RecordedContext:
    """Make a context to call a job with.

    identity: fields of headrace.jobs.RunInfo, such as owner or attempt.
    """
    recorder = Recorder(stop_after=stop_after, directory=workspace)
    run = RunInfo(**{"job_id": "test-job", "claim": 1, "type": "test", **identity})
    made = RecordedContext(run, params or {}, recorder, Resources(made=resources))
    made.recorded = recorder
    return made


def run_job(
    target: Callable[..., Any],
    /,
    *,
    owner: str = "",
    workspace: Path | None = None,
    stop_after: int | timedelta | None = None,
    resources: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> JobRun:
    """Run a job function or class to its end, as a worker would.

    An async job cannot be run from within a running event loop.

    Parameters are given by name; `params` takes those whose names this function needs itself.
    resources: objects for ctx.resources. identity: further fields of headrace.jobs.RunInfo. Raises
    TypeError for what is no job, and headrace.values.UnsupportedValue for a parameter that no value
    can hold.
    """
    definition = definition_of(target)
    if definition is None:
        raise TypeError(f"{target!r} is no job: mark it with @job, or derive it from Job and give it a type")
    recorder = Recorder(stop_after=stop_after, directory=workspace)
    given = _plain(definition, {**(params or {}), **named})
    run = RunInfo(
        **{"job_id": "test-job", "claim": 1, "type": definition.type, "owner": owner, **(identity or {})},
        parameters=dumps(given),
    )
    return JobRun(execute(definition, run, recorder, Resources(made=resources)), recorder)


def _plain(definition: JobDefinition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they come from a server: richer types as what they are made from."""
    signature = definition.signature
    if not signature.plain:
        declared = {name for name in given if name in signature.parameters}
        given = {
            name: signature.coercion.dump(name, value) if name in declared else value
            for name, value in given.items()
        }
    return {name: encode(value, f"parameters[{name}]") for name, value in given.items()}
