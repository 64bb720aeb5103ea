"""stop, release, update and delete."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from headrace.cli.assignments import read_texts
from headrace.cli.moments import read_span
from headrace.cli.options import Expire, JobId, Labels, OutputOptions, RunAfter
from headrace.cli.output import Output
from headrace.cli.record import Record, of_job
from headrace.cli.session import Session
from headrace.cli.terminal import clean, write
from headrace.info import JobInfo, JobStatus, StopOutcome, StopResult
from headrace.options import JobChanges

_OUTCOMES = {
    StopOutcome.STOPPED: "it is ABORTED",
    StopOutcome.STOPPING: "the stop is under way",
    StopOutcome.FINISHED_FIRST: "it ended before the stop reached it",
    StopOutcome.ALREADY_FINISHED: "it had ended before",
}
ANSWER_WAIT = timedelta(seconds=60)
"""The longest that one answer may wait."""


def stop(
    session: Session,
    job_id: JobId,
    form: OutputOptions,
    *,
    reason: Annotated[str, typer.Option(help="Why; the job's code can read it.")] = "",
    grace: Annotated[
        timedelta | None,
        typer.Option(parser=read_span, metavar="TIME", help="The time until its processes are killed (10s)."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
) -> None:
    """Stop a job, whatever its status, and print what became of that.

    Example: headrace stop JOB_ID --reason 'wrong file' --grace 30s
    """
    output = form.read()
    with session.connect() as client:
        longest = min(session.timeout or ANSWER_WAIT, ANSWER_WAIT)
        result = client.stop(job_id, reason, grace_period=grace, wait_timeout=longest if wait else None)
        if wait and result.outcome is StopOutcome.STOPPING:
            job = client.wait(job_id, session.timeout)
            stopped = job.status is JobStatus.ABORTED
            result = StopResult(StopOutcome.STOPPED if stopped else StopOutcome.FINISHED_FIRST, job)
    record = of_job(result.job)
    with_outcome = Record("job", record.name, {**record.data, "outcome": str(result.outcome)})
    output.one(with_outcome, lambda: _write_outcome(result))


def _write_outcome(result: StopResult) -> None:
    meaning = _OUTCOMES.get(result.outcome, "this client does not know what that means")
    end = (
        f" with {result.job.status}"
        if result.outcome not in (StopOutcome.STOPPED, StopOutcome.STOPPING)
        else ""
    )
    write(f"{result.outcome} {result.job.job_id}: {meaning}{end}")


def release(session: Session, job_id: JobId, form: OutputOptions) -> None:
    """Release a job that was submitted with --hold.

    Example: headrace release JOB_ID
    """
    output = form.read()
    with session.connect() as client:
        job = client.release(job_id)
    _show(output, job)


def update(
    session: Session,
    job_id: JobId,
    form: OutputOptions,
    *,
    priority: Annotated[int | None, typer.Option(help="Higher runs first.", metavar="N")] = None,
    description: Annotated[str | None, typer.Option(help="Free text for people.")] = None,
    label: Labels = None,
    clear_labels: Annotated[bool, typer.Option("--clear-labels", help="Remove the labels it has.")] = False,
    lock: Annotated[bool | None, typer.Option("--lock/--unlock", help="Refuse its deletion.")] = None,
    run_after: RunAfter = None,
    expire: Expire = None,
    etag: Annotated[str, typer.Option(help="Only if this is still its etag.")] = "",
) -> None:
    """Change fields of a job. Labels that are given replace those it has.

    Example: headrace update JOB_ID --priority 10 --lock
    """
    output = form.read()
    changes = _changes(
        priority=priority, description=description, label=label, lock=lock, run_after=run_after, expire=expire
    )
    if clear_labels:
        changes["labels"] = {}
    if not changes:
        raise ValueError("There is nothing to change: give one of the options, such as --priority 10.")
    with session.connect() as client:
        job = client.update(job_id, etag=etag, **changes)
    _show(output, job)


def delete(
    session: Session,
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="Jobs, by their whole ids.")],
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A job that is not there is no failure.")
    ] = False,
) -> None:
    """Delete jobs that have ended, with their history.

    Example: headrace delete $(headrace list --status FAILED -o name) --allow-missing
    """
    with session.connect() as client:
        for job_id in job_ids:
            client.delete(job_id, allow_missing=allow_missing)
            write(job_id)


def _changes(
    *,
    priority: int | None,
    description: str | None,
    label: list[str] | None,
    lock: bool | None,
    run_after: datetime | None,
    expire: datetime | None,
) -> JobChanges:
    changes = JobChanges()
    if priority is not None:
        changes["priority"] = priority
    if description is not None:
        changes["description"] = description
    if label:
        changes["labels"] = read_texts(label)
    if lock is not None:
        changes["locked"] = lock
    if run_after is not None:
        changes["run_after"] = run_after
    if expire is not None:
        changes["expire_time"] = expire
    return changes


def _show(output: Output, job: JobInfo) -> None:
    output.one(of_job(job), lambda: write(f"{job.job_id} {job.status} {clean(job.spec.type)}"))
