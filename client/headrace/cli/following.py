"""watch and wait."""

from typing import Annotated

import typer

from headrace.cli.displays import display
from headrace.cli.follow import Following, exit_code, write_end
from headrace.cli.many import JobIds, Many
from headrace.cli.options import JobId, Messages, OutputOptions
from headrace.cli.session import Session, Timer
from headrace.info import JobInfo


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

    With -o jsonl each update is a line of JSON on stdout.

    On a terminal with a progress bar. Ctrl-C leaves the job alone and says how to resume.

    Example: headrace watch JOB_ID --after 7
    """
    output = form.read()
    following = Following(session, Timer(session.timeout), job_id, after)
    with session.connect(patient=True) as client, following.leaving():
        job = following.tell(
            client.watch(job_id, after_revision=after, include_messages=messages, timeout=session.timeout),
            display(output),
        )
    write_end(job, output, asked=form.given, streamed=True)
    raise typer.Exit(exit_code(job))


def wait(session: Session, job_ids: JobIds, form: OutputOptions) -> None:
    """Wait for jobs to end: 0 succeeded, 1 failed, 3 stopped, 124 not ended within --timeout.

    With several jobs it waits for all of them, and the first that did not succeed decides the exit
    code.

    Example: headrace list --status RUNNING -o name | headrace wait - --timeout 5m
    """
    output = form.read()
    jobs, timer = Many(job_ids), Timer(session.timeout)
    with session.connect(patient=True) as client:

        def end(job_id: str) -> JobInfo:
            with timer.naming():
                return client.wait(job_id, timer.remaining())

        for job in jobs.each(end):
            write_end(job, output, asked=form.given, alone=jobs.alone)
            jobs.ended(exit_code(job))
    jobs.end()
