"""A followed job for programs: each update as a line of JSON on stdout, as soon as it is there.

A line has one field that says what it is, as in the contract's JobUpdate: snapshot, event,
progress, and at the end finished, which follow.py writes.
"""

import sys
from typing import Any, Self

from headrace.cli.output import to_json
from headrace.cli.record import of_event, of_job, plain
from headrace.cli.terminal import write
from headrace.info import JobEvent, JobInfo, Progress


class JsonLines:
    """Lines of JSON."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def snapshot(self, job: JobInfo) -> None:
        """The job as it stood when the watch began."""
        _line("snapshot", of_job(job).data)

    def event(self, event: JobEvent) -> None:
        """The next event of its history."""
        _line("event", of_event(event).data)

    def progress(self, progress: Progress) -> None:
        """Its latest progress."""
        _line("progress", plain(progress))


def _line(name: str, data: Any) -> None:
    write(to_json({name: data}))
    sys.stdout.flush()
