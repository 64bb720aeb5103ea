"""watch and wait."""

from typing import Annotated

import typer

from headrace.cli.displays import display
from headrace.cli.follow import Following, exit_code, write_end
from headrace.cli.options import JobId, Messages, OutputOptions
from headrace.cli.session import Session


def watch(
    session: Session,
    job_id: JobId,
    form: OutputOptions,
    after: Annotated[
        int | None, typer.Option(min=0, metavar="REV", help="Go on after this revision; 0 is the beginning.")
    ] = None,
    messages: Messages = True,
) -> None:
    """Follow a job until it ends: 0 succeeded, 1 failed, 3 stopped.

    On a terminal with a progress bar. Ctrl-C leaves the job alone and says how to resume.

    Example: headrace watch JOB_ID --after 7
    """
    output = form.read()
    following = Following(session, job_id, after)
    with session.connect(patient=True) as client, following.leaving():
        job = following.tell(
            client.watch(job_id, after_revision=after, include_messages=messages, timeout=session.timeout),
            display(),
        )
    write_end(job, output, asked=form.given)
    raise typer.Exit(exit_code(job))


def wait(session: Session, job_id: JobId, form: OutputOptions) -> None:
    """Wait for a job to end: 0 succeeded, 1 failed, 3 stopped, 124 not ended within --timeout.

    Example: headrace wait JOB_ID --timeout 5m
    """
    output = form.read()
    with session.connect(patient=True) as client:
        job = client.wait(job_id, session.timeout)
    write_end(job, output, asked=form.given)
    raise typer.Exit(exit_code(job))
