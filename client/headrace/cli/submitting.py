"""submit and run."""

import signal
import uuid
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.assignments import read_parameters
from headrace.cli.displays import display
from headrace.cli.follow import Following, exit_code, write_end
from headrace.cli.interrupts import INTERRUPTED
from headrace.cli.options import Assignments, JobTypeName, Messages, OutputOptions, SpecOptions
from headrace.cli.record import of_job
from headrace.cli.session import Session, Timer
from headrace.cli.terminal import note, write
from headrace.info import JobInfo, Snapshot
from headrace.options import JobOptions

if TYPE_CHECKING:  # importing the client imports gRPC
    from headrace.client import Client


def submit(
    session: Session,
    job_type: JobTypeName,
    spec: SpecOptions,
    form: OutputOptions,
    *,
    assignments: Assignments = None,
    hold: Annotated[bool, typer.Option("--hold", help="Keep it PENDING until `headrace release`.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end, which decides the exit code.")
    ] = False,
) -> None:
    """Submit a job and print its id. When that is printed, the job is on disk.

    Example: headrace submit image.resize file=photo.jpg width=64 --priority 5
    """
    output = form.read()
    parameters = read_parameters(assignments or (), spec.params_file)
    with session.connect(patient=wait) as client:
        job = _submit(client, job_type, parameters, spec.read(), hold=hold)
        if wait:
            if not form.given:
                write(job.job_id)
            job = client.wait(job.job_id, session.timeout)
            write_end(job, output, asked=form.given)
            raise typer.Exit(exit_code(job))
        output.one(of_job(job), lambda: write(job.job_id))


def run(
    session: Session,
    job_type: JobTypeName,
    spec: SpecOptions,
    form: OutputOptions,
    *,
    assignments: Assignments = None,
    messages: Messages = True,
    stop_on_exit: Annotated[
        bool, typer.Option("--stop-on-exit", help="Ctrl-C or SIGTERM stops the job instead of leaving it.")
    ] = False,
) -> None:
    """Submit a job and follow it until it ends: 0 succeeded, 1 failed, 3 stopped.

    Its result goes to stdout as JSON, everything else to stderr; with -o jsonl each update is a
    line of JSON on stdout. Ctrl-C leaves the job alone and says how to resume.

    Example: headrace run files.checksum path=/usr/share/dict passes=3
    """
    output, timer = form.read(), Timer(session.timeout)
    parameters = read_parameters(assignments or (), spec.params_file)
    if stop_on_exit:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    with session.connect(patient=True) as client:
        submitted = _submit(client, job_type, parameters, spec.read(), hold=False)
        following = Following(session, timer, submitted.job_id)
        with following.leaving():
            try:
                # From the submit on, so that nothing is left out of what happened before the watch
                # began.
                updates = client.watch(
                    submitted.job_id,
                    after_revision=submitted.revision,
                    include_messages=messages,
                    timeout=timer.remaining(),
                )
                job = following.tell(chain([Snapshot(submitted)], updates), display(output))
            except KeyboardInterrupt:
                if not stop_on_exit:
                    raise
                note("stopping the job; Ctrl-C again leaves it")
                client.stop(submitted.job_id, "The caller was interrupted.")
                job = client.wait(submitted.job_id)
    write_end(job, output, asked=form.given, streamed=True)
    raise typer.Exit(exit_code(job))


def _submit(
    client: "Client", job_type: str, parameters: dict[str, Any], options: JobOptions, *, hold: bool
) -> JobInfo:
    """Submit, so that it can be repeated when it is interrupted."""
    options["request_id"] = request_id = options.get("request_id") or str(uuid.uuid4())
    try:
        handle = client.submit(job_type, parameters, hold=hold, **options)
    except KeyboardInterrupt:
        note(
            f"interrupted; the job may have been submitted. The same command with --request-id {request_id} tells."
        )
        raise typer.Exit(INTERRUPTED) from None
    return handle.info or handle.refresh()
