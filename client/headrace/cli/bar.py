"""Shows a followed job on a terminal, on stderr.

There is a bar with percent, rate and time left, with the events above it.
"""

from typing import Any, Self

from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskProgressColumn
from rich.progress import Progress as Live
from rich.text import Text

from headrace.cli.rate import Rate
from headrace.cli.terminal import clean, note, status, stderr
from headrace.cli.text import attempt_begins, event_line, rate_text, ticks_text
from headrace.cli.times import show_span
from headrace.info import (
    JobEvent,
    JobInfo,
    LoggedMessage,
    MessagesDropped,
    Progress,
    StatusChange,
    StopChange,
)

_NOTHING_DONE: dict[str, Any] = {"ticks": "", "rate": "", "left": "", "doing": ""}


class _Field(ProgressColumn):
    """A column of text that the task was given."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, task: Task) -> Text:
        """The text."""
        text = task.fields[self._name]
        return text if isinstance(text, Text) else Text(text, no_wrap=True, overflow="ellipsis")


class Bar:
    """A live bar. It is gone when the job has ended or is left."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._live = Live(
            SpinnerColumn(),
            _Field("status"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _Field("ticks"),
            _Field("rate"),
            _Field("left"),
            _Field("doing"),
            console=stderr(),
            transient=True,
        )
        self._task = self._live.add_task("", total=None, status=status(""), **_NOTHING_DONE)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def snapshot(self, job: JobInfo) -> None:
        """Show where it stands."""
        note(f"{clean(job.spec.type)} {job.job_id}")
        self._show(status=status(job.status))
        if job.progress is not None:
            self.progress(job.progress)

    def event(self, event: JobEvent) -> None:
        """Show its status in the bar, and above it what would be lost there."""
        if attempt_begins(event):
            self._rate.restart()
            self._show(completed=0, **_NOTHING_DONE)
        self._show(status=status(event.status))
        retried = (
            isinstance(event.detail, StatusChange) and event.detail.error is not None and not event.final
        )
        if retried or isinstance(event.detail, LoggedMessage | MessagesDropped | StopChange):
            note(event_line(event))

    def progress(self, progress: Progress) -> None:
        """Show how far it is."""
        self._rate.add(progress)
        left = self._rate.time_left(progress)
        self._show(
            total=progress.total,
            completed=progress.done,
            ticks=ticks_text(progress),
            rate=rate_text(self._rate),
            left="" if left is None else f"{show_span(left)} left",
            doing=clean(progress.message),
        )

    def shown(self) -> tuple[float, str]:
        """Return what the bar shows: the ticks that are done, as a number and as text."""
        task = self._live.tasks[0]
        return task.completed, task.fields["ticks"]

    def _show(self, **fields: Any) -> None:
        self._live.update(self._task, **fields)
