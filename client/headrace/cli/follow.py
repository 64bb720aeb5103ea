"""Follows a job to its end.

The module says what is shown on the way, what is written at the end, and what Ctrl-C does.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.text import Text

from headrace.cli.interrupts import INTERRUPTED
from headrace.cli.job_view import write_job
from headrace.cli.output import Output, to_json
from headrace.cli.record import of_job, steady
from headrace.cli.session import Session, Timer
from headrace.cli.terminal import clean, note, status, write
from headrace.cli.text import failure_text
from headrace.cli.times import show_span
from headrace.errors import DeadlineExceeded, InternalError
from headrace.info import Finished, JobEvent, JobInfo, JobStatus, Progress, Snapshot, Update

_EXIT_CODES = {JobStatus.SUCCEEDED: 0, JobStatus.ABORTED: 3}
_EXIT_FAILED = 1


class Display(Protocol):
    """Shows on stderr how a job goes."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def snapshot(self, job: JobInfo) -> None:
        """The job as it stood when the watch began."""
        ...

    def event(self, event: JobEvent) -> None:
        """The next event of its history."""
        ...

    def progress(self, progress: Progress) -> None:
        """Its latest progress."""
        ...


class Following:
    """A job that is followed: what is needed to go on later."""

    def __init__(self, session: Session, timer: Timer, job_id: str, revision: int | None = None) -> None:
        self._session = session
        self._timer = timer
        self._job_id = job_id
        self._revision = revision

    def tell(self, updates: Iterator[Update], display: Display) -> JobInfo:
        """Show updates until the job has ended, and return it as it ended."""
        with display:
            for update in updates:
                match update:
                    case Finished(job):
                        return job
                    case Snapshot(job):
                        self._revision = job.revision
                        display.snapshot(job)
                    case Progress():
                        display.progress(update)
                    case _:
                        self._revision = update.revision
                        display.event(update)
        raise InternalError(f"The watch of job {self._job_id} ended before the job had. {self._resume()}")

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Leave the job running on Ctrl-C or at the time limit, and say how to resume."""
        try:
            with self._timer.naming():
                yield
        except KeyboardInterrupt:
            note(f"detached; the job goes on. {self._resume()}")
            raise typer.Exit(INTERRUPTED) from None
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{error.message} {self._resume()}") from None

    def _resume(self) -> str:
        after = [] if self._revision is None else ["--after", str(self._revision)]
        words = ["headrace", "watch", self._job_id, *after, *self._session.options()]
        return f"Resume: {shlex.join(words)}"


def exit_code(job: JobInfo) -> int:
    """Return the exit code of a command that waits for a job."""
    return _EXIT_CODES.get(job.status, _EXIT_FAILED)


def write_end(
    job: JobInfo, output: Output, *, asked: bool, alone: bool = True, streamed: bool = False
) -> None:
    """Write a line about the end of a job to stderr, and its result as JSON to stdout.

    With -o or --format, stdout gets what was asked for instead.

    Where it is not alone every job has a line, that a program can tell them apart: null for one
    without a result. streamed: its updates were written as lines of JSON.
    """
    note(
        Text.assemble(status(job.status), f" {clean(job.spec.type)} {job.job_id}{_figures(job)}{_cause(job)}")
    )
    if streamed and output.streams:
        write(to_json({"finished": of_job(job).data}))
    elif asked:
        output.one(of_job(job), lambda: write_job(job))
    elif not alone or (job.status is JobStatus.SUCCEEDED and job.result is not None):
        write(to_json(steady(job.result)))


def _figures(job: JobInfo) -> str:
    if job.run_time is None:
        return ""
    starts = f", attempt {len(job.attempts)}" if len(job.attempts) > 1 else ""
    return f" in {show_span(job.run_time)}{starts}"


def _cause(job: JobInfo) -> str:
    """Why it ended without success."""
    if job.status is JobStatus.SUCCEEDED:
        return ""
    if job.error is not None:
        return f": {failure_text(job.error)}"
    return f": {clean(job.stop.reason)}" if job.stop and job.stop.reason else ""
