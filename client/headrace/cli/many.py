"""Commands that take many jobs: by their ids, or from stdin where a `-` stands among them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, TypeVar

import typer

from headrace.cli import completion
from headrace.cli.terminal import clean, note
from headrace.errors import (
    DeadlineExceeded,
    HeadraceError,
    InvalidArgument,
    JobLocked,
    JobNotFound,
    WrongStatus,
)

T = TypeVar("T")

JobIds = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB_ID...",
        help="Jobs, by their whole ids; - reads them from stdin.",
        autocompletion=completion.job_ids,
    ),
]

_OF_ONE_JOB = (JobNotFound, WrongStatus, JobLocked, InvalidArgument, DeadlineExceeded)
"""The failures that say nothing about the next job.

Others, such as a server that is away, end the command.
"""


class Many:
    """The jobs that a command was given, each once.

    The command goes on after a job that fails, and ends with the exit code of the first failure.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.alone = len(words) == 1 and "-" not in words
        """Whether one job was named: its failure is the command's."""
        self.ids = tuple(dict.fromkeys(job_id for word in words for job_id in _read(word)))
        self._code = 0

    def each(self, act: Callable[[str], T], ids: Iterable[str] | None = None) -> Iterator[T]:
        """Yield what `act` returns for each job, or for each of these ids.

        A failure that concerns one job only is written to stderr.
        """
        for job_id in self.ids if ids is None else ids:
            try:
                yield act(job_id)
            except _OF_ONE_JOB as error:
                if self.alone:
                    raise
                self.failed(job_id, error)

    def failed(self, job_id: str, error: HeadraceError) -> None:
        """Say that a job failed, and go on."""
        named = "" if job_id in error.message else f"{job_id}: "
        note(f"headrace: {clean(named + error.message)}")
        self.ended(error.exit_code)

    def ended(self, code: int) -> None:
        """Take the code of one of them in: the first that is not 0 is the command's."""
        self._code = self._code or code

    def end(self) -> None:
        """Raises typer.Exit with the code of the command, unless it is 0."""
        if self._code:
            raise typer.Exit(self._code)


def _read(word: str) -> Sequence[str]:
    if word != "-":
        return (word,)
    if sys.stdin is None:
        raise ValueError("There is no stdin to read the ids of jobs from.")
    return sys.stdin.read().split()
