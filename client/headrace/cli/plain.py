"""Shows a followed job in a pipe, on stderr.

There is a line for each event, and now and then one for its progress.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from headrace.cli.rate import Rate
from headrace.cli.terminal import clean, note
from headrace.cli.text import attempt_begins, event_line, progress_text
from headrace.cli.times import show_clock
from headrace.info import JobEvent, JobInfo, Progress, StatusChange

_EVERY = 1.0
"""Seconds after which a line of progress is due again."""
_STEP = 10.0
"""Percent after which it is due before that."""


class Lines:
    """Plain lines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = Rate(clock)
        self._said_at: float | None = None
        self._said = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def snapshot(self, job: JobInfo) -> None:
        """Say which job it is."""
        if not job.final:
            note(f"{show_clock(job.status_time)} {job.status} {clean(job.spec.type)} {job.job_id}")
        if job.progress is not None:
            self._rate.add(job.progress)

    def event(self, event: JobEvent) -> None:
        """Say what happened; the end itself is said by who follows."""
        if attempt_begins(event):
            self._rate.restart()
        if not event.final or not isinstance(event.detail, StatusChange):
            note(event_line(event))

    def progress(self, progress: Progress) -> None:
        """Say how far it is, where that is due."""
        self._rate.add(progress)
        now, percent = self._clock(), progress.percent or 0.0
        if self._said_at is None or now - self._said_at >= _EVERY or abs(percent - self._said) >= _STEP:
            self._said_at, self._said = now, percent
            clock = show_clock(progress.update_time or datetime.now(UTC))
            note(f"{clock} {progress_text(progress, self._rate)}")
