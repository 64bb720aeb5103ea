"""Events and progress in words: a line each, for people."""

from headrace.cli.rate import Rate
from headrace.cli.terminal import clean, paragraph
from headrace.cli.times import show_clock, show_span
from headrace.info import (
    EventKind,
    FieldsUpdated,
    JobError,
    JobEvent,
    JobStatus,
    LoggedMessage,
    MessagesDropped,
    MessageSource,
    Progress,
    ResultSet,
    StatusChange,
    StopChange,
)


def event_line(event: JobEvent) -> str:
    """An event with its time of day."""
    return f"{show_clock(event.event_time)} {event_text(event)}"


def event_text(event: JobEvent) -> str:
    """Return what an event says, in words."""
    text = event.kind.lower()
    match event.detail:
        case None if event.kind is EventKind.CREATED:
            text = f"{event.status} created"
        case LoggedMessage(level, said, source):
            mark = level if source is MessageSource.JOB else source
            text = f"[{mark.lower()}] {paragraph(said)}"
        case StatusChange(_, to_status, error):
            attempt = f" attempt {event.attempt}" if event.attempt > 1 else ""
            text = f"{to_status}{attempt}{f': {failure_text(error)}' if error else ''}"
        case ResultSet(name):
            text = f"result '{clean(name)}' set" if name else "result set"
        case StopChange(phase):
            text = f"stop {phase.lower()}"
        case FieldsUpdated(paths):
            text = f"updated: {', '.join(paths)}"
        case MessagesDropped(count):
            text = f"{count} messages dropped"
    return text


def attempt_begins(event: JobEvent) -> bool:
    """Whether an attempt begins, whose progress has nothing to do with that of the last one."""
    return isinstance(event.detail, StatusChange) and event.detail.to_status is JobStatus.RUNNING


def failure_text(error: JobError) -> str:
    """An error in a line, without its traceback."""
    what = " ".join(
        part for part in (error.kind, error.code, f"in step {error.step}" if error.step else "") if part
    )
    return clean(": ".join(part for part in (what, error.type, error.message) if part))


def progress_text(progress: Progress, rate: Rate | None = None) -> str:
    """How far a job is: percent, ticks, rate, time left, and what it says it is doing."""
    percent = f"{progress.percent:.0f} %" if progress.percent is not None else ""
    left = None if rate is None else rate.time_left(progress)
    speed = "" if rate is None else rate_text(rate)
    figures = ", ".join(part for part in (speed, "" if left is None else f"{show_span(left)} left") if part)
    return " ".join(
        part for part in (percent, f"({ticks_text(progress)})", figures, clean(progress.message)) if part
    )


def ticks_text(progress: Progress) -> str:
    """Ticks done, of how many in all where that is known."""
    return str(progress.done) if progress.total is None else f"{progress.done}/{progress.total}"


def rate_text(rate: Rate) -> str:
    """Ticks in a second, "" when unknown."""
    value = rate.per_second
    if value is None:
        return ""
    return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"  # noqa: PLR2004 - where a digit stops to matter
