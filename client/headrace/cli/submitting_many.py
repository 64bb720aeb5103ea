"""submit-many."""

import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.interrupts import INTERRUPTED
from headrace.cli.job_lines import JobLines, opened
from headrace.cli.session import Session
from headrace.cli.terminal import follows_live, note, stderr, write
from headrace.errors import HeadraceError

JobsFile = Annotated[
    Path, typer.Argument(metavar="FILE.jsonl", help="A job in each line, as JSON; - for stdin.")
]


def submit_many(
    session: Session,
    file: JobsFile,
    *,
    hold: Annotated[bool, typer.Option("--hold", help="Keep them PENDING until `headrace release`.")] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="At most so many in one batch.")
    ] = 1000,
    request_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Makes a repetition safe: the same id gives the same jobs."),
    ] = None,
) -> None:
    """Submit the jobs of a file, and print their ids in its order.

    A line is such as {"type": "image.resize", "parameters": {"file": "a.png"}, "priority": 5}. They
    are submitted in batches, each of them whole or not at all; an id that is printed is that of a
    job on disk.

    Example: headrace submit-many jobs.jsonl --hold
    """
    one_id = request_id or str(uuid.uuid4())
    count = 0

    def told(job_ids: Sequence[str]) -> None:
        nonlocal count
        count += len(job_ids)
        for job_id in job_ids:
            write(job_id)
        show(count)

    with opened(file) as jobs, session.connect() as client, _shown(jobs) as show:
        try:
            client.submit_many(jobs, hold=hold, batch_size=batch_size, request_id=one_id, on_batch=told)
        except KeyboardInterrupt:
            note(f"interrupted. {_resume(count, one_id, batch_size)}")
            raise typer.Exit(INTERRUPTED) from None
        except (HeadraceError, ValueError):
            if count:
                note(_resume(count, one_id, batch_size))
            raise
    note(f"{count} jobs submitted")


def _resume(count: int, request_id: str, batch_size: int) -> str:
    return (
        f"{count} jobs are submitted. The same file with --request-id {request_id} "
        f"--batch-size {batch_size} submits none of them twice."
    )


@contextmanager
def _shown(jobs: JobLines) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere: how much of the file was read, and how many are on disk."""
    if not follows_live():
        yield lambda _count: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415 - as bar.py

    columns = (
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]} jobs submitted"),
    )
    # Ids on the same terminal go above the bar; those in a pipe go there.
    on_screen = sys.stdout.isatty()
    with Progress(*columns, console=stderr(), transient=True, redirect_stdout=on_screen) as live:
        task = live.add_task("", total=jobs.size, count=0)
        yield lambda count: live.update(task, completed=jobs.read, count=count)
