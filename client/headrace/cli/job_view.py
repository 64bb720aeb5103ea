"""A job for people to read: `headrace get`."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from headrace.cli import notation
from headrace.cli.record import steady
from headrace.cli.terminal import clean, json_text, status, write
from headrace.cli.text import failure_text, progress_text
from headrace.cli.times import show_age, show_moment, show_span
from headrace.info import Attempt, JobInfo

_LABEL_WIDTH = 12


def write_job(job: JobInfo) -> None:
    """Write a job: what is set, a line each, then what is longer."""
    write(_line("Job", job.job_id))
    write(_line("Type", job.spec.type))
    write(_line("Status", status(job.status)))
    for label, text in _facts(job):
        if text:
            write(_line(label, clean(text)))
    for title, lines in _blocks(job):
        if lines:
            write(Text(title, "bold"))
            for line in lines:
                write(f"  {clean(line)}")


def _line(label: str, value: str | Text) -> Text:
    return Text.assemble((label.ljust(_LABEL_WIDTH), "bold"), " ", value)


def _facts(job: JobInfo) -> Iterator[tuple[str, str]]:
    spec = job.spec
    yield "Progress", progress_text(job.progress) if job.progress else ""
    yield "Error", failure_text(job.error) if job.error else ""
    yield "Stop", _stop(job)
    yield "Result", "" if job.result is None else json_text(steady(job.result))
    yield "Description", spec.description
    yield "Tenant", job.tenant
    yield "Owner", spec.owner
    yield "Session", spec.session_id
    yield "Batch", job.batch_id
    yield "Queue", spec.queue
    yield "Priority", str(spec.priority) if spec.priority else ""
    yield "Labels", " ".join(f"{key}={value}" for key, value in sorted(spec.labels.items()))
    yield "Locked", "against deletion" if job.locked else ""
    yield "Created", _moment(job.create_time)
    yield "Run after", _moment(spec.run_after)
    yield "Expires", _moment(spec.expire_time)
    yield "Next attempt", "" if job.final else _moment(job.next_attempt_time)
    yield "Started", _moment(job.start_time)
    yield "Ended", _moment(job.end_time)
    yield "Waited", show_span(job.wait_time)
    yield "Ran", show_span(job.run_time)
    yield "Attempt timeout", show_span(spec.attempt_timeout)
    yield "Revision", f"{job.revision}, etag {job.etag}"


def _blocks(job: JobInfo) -> Iterator[tuple[str, list[str]]]:
    yield "Parameters", _named(job.spec.parameters, notation.show)
    yield "Results", _named(job.results, steady)
    yield "Attempts", [_attempt(attempt) for attempt in job.attempts]
    yield "Traceback", job.error.traceback.rstrip().splitlines() if job.error else []


def _named(values: Mapping[str, Any], show: Callable[[Any], Any]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"{name.ljust(width)}  {json_text(show(value))}" for name, value in sorted(values.items())]


def _attempt(attempt: Attempt) -> str:
    start, end = attempt.start_time, attempt.end_time
    parts = (
        f"{attempt.number}",
        show_moment(attempt.start_time),
        show_span(end - start) if start and end else "",
        f"worker {attempt.worker} of {attempt.instance}",
        failure_text(attempt.error) if attempt.error else "",
    )
    return "  ".join(part for part in parts if part)


def _stop(job: JobInfo) -> str:
    if job.stop is None:
        return ""
    parts = (
        job.stop.phase.lower(),
        f"by {job.stop.requested_by}" if job.stop.requested_by else "",
        f"because: {job.stop.reason}" if job.stop.reason else "",
        "" if job.stop.confirmed or not job.final else "(its end was not seen)",
    )
    return " ".join(part for part in parts if part)


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    age = show_age(moment)
    return f"{show_moment(moment)}" + (f" ({age} ago)" if age else "")
