"""stop, release, update and delete."""

from datetime import timedelta
from typing import Annotated

import typer

from headrace.cli.many import JobIds, Many
from headrace.cli.options import ChangeOptions, JobId, Labels, OutputOptions
from headrace.cli.output import Output
from headrace.cli.record import Record, of_job
from headrace.cli.session import Session, Timer
from headrace.cli.terminal import clean, write
from headrace.cli.times import read_span
from headrace.info import JobInfo, JobStatus, StopOutcome, StopResult

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
    job_ids: JobIds,
    form: OutputOptions,
    *,
    reason: Annotated[str, typer.Option(help="Why; the job's code can read it.")] = "",
    grace: Annotated[
        timedelta | None,
        typer.Option(parser=read_span, metavar="TIME", help="The time until its processes are killed (10s)."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
) -> None:
    """Stop jobs, whatever their status, and print what became of that.

    All are told to stop before the first is waited for.

    Example: headrace stop JOB_ID --reason 'wrong file' --grace 30s
    """
    output, jobs, timer = form.read(), Many(job_ids), Timer(session.timeout)
    longest = min(session.timeout or ANSWER_WAIT, ANSWER_WAIT) if wait and jobs.alone else None
    with session.connect() as client:

        def ask(job_id: str) -> StopResult:
            return client.stop(job_id, reason, grace_period=grace, wait_timeout=longest)

        def end(result: StopResult) -> StopResult:
            if not wait or result.outcome is not StopOutcome.STOPPING:
                return result
            with timer.naming():
                job = client.wait(result.job.job_id, timer.remaining())
            stopped = job.status is JobStatus.ABORTED
            return StopResult(StopOutcome.STOPPED if stopped else StopOutcome.FINISHED_FIRST, job)

        asked = {result.job.job_id: result for result in jobs.each(ask)}
        ended = jobs.each(lambda job_id: end(asked[job_id]), asked)
        if jobs.alone:
            result = next(ended)
            output.one(_of_stop(result), lambda: _write_outcome(result))
        elif output.for_people:
            for result in ended:
                _write_outcome(result)
        else:
            output.many(map(_of_stop, ended))
    jobs.end()


def _of_stop(result: StopResult) -> Record:
    record = of_job(result.job)
    return Record("job", record.name, {**record.data, "outcome": str(result.outcome)})


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
    change: ChangeOptions,
    form: OutputOptions,
    *,
    label: Labels = None,
    etag: Annotated[str, typer.Option(help="Only if this is still its etag.")] = "",
) -> None:
    """Change fields of a job. Labels that are given replace those it has.

    Example: headrace update JOB_ID --priority 10 --lock
    """
    output, changes = form.read(), change.read(label)
    with session.connect() as client:
        job = client.update(job_id, etag=etag, **changes)
    _show(output, job)


def delete(
    session: Session,
    job_ids: JobIds,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A job that is not there is no failure.")
    ] = False,
) -> None:
    """Delete jobs that have ended, with their history.

    Example: headrace list --status FAILED -o name | headrace delete - --allow-missing
    """
    jobs = Many(job_ids)
    with session.connect() as client:

        def remove(job_id: str) -> str:
            client.delete(job_id, allow_missing=allow_missing)
            return job_id

        for job_id in jobs.each(remove):
            write(job_id)
    jobs.end()


def _show(output: Output, job: JobInfo) -> None:
    output.one(of_job(job), lambda: write(f"{job.job_id} {job.status} {clean(job.spec.type)}"))
