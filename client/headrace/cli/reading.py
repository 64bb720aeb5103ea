"""get, list, count and events."""

from itertools import islice
from typing import Annotated

import typer

from headrace.cli.job_view import write_job
from headrace.cli.many import JobIds, Many
from headrace.cli.options import FilterOptions, JobId, OutputOptions
from headrace.cli.record import Record, of_event, of_job
from headrace.cli.session import Session
from headrace.cli.table import Column, write_table
from headrace.cli.terminal import note, write
from headrace.cli.text import event_text
from headrace.cli.times import show_age, show_clock, show_span
from headrace.info import JobInfo, JobOrder, JobView

_JOB_COLUMNS = (
    Column("ID"),
    Column("STATUS"),
    Column("TENANT", rank=2),
    Column("TYPE", rank=1, cut=True),
    Column("PROGRESS", rank=3, right=True),
    Column("AGE", rank=4, right=True),
    Column("WAIT", rank=6, right=True),
    Column("RUN", rank=5, right=True),
    Column("OWNER", rank=7, cut=True),
    Column("DESCRIPTION", rank=8, cut=True),
)
_EVENT_COLUMNS = (
    Column("REV", right=True),
    Column("TIME"),
    Column("ATTEMPT", rank=2, right=True),
    Column("EVENT", cut=True),
)


def get(session: Session, job_ids: JobIds, form: OutputOptions) -> None:
    """Show jobs.

    Example: headrace get JOB_ID --format '{job.status} {job.spec.parameters.file}'
    """
    output, jobs = form.read(), Many(job_ids)
    with session.connect() as client:
        found = jobs.each(client.get)
        if jobs.alone:
            job = next(found)
            output.one(of_job(job), lambda: write_job(job))
        elif output.for_people:
            for place, job in enumerate(found):
                if place:
                    write()
                write_job(job)
        else:
            output.many(map(of_job, found))
    jobs.end()


def list_(
    session: Session,
    filters: FilterOptions,
    form: OutputOptions,
    order: Annotated[
        str, typer.Option(metavar="ORDER", help="CREATE_TIME, STATUS_TIME or PRIORITY with _DESC or _ASC.")
    ] = JobOrder.CREATE_TIME_DESC.value,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0: all.")] = 100,
) -> None:
    """List jobs, newest first.

    Example: headrace list --status RUNNING --type 'image.*' --since 2h
    """
    output = form.read()
    with session.connect(tenant=filters.tenant) as client:
        jobs = client.list(
            order_by=order.upper().replace("-", "_"),
            # Without a limit as many in a page as the server allows.
            page_size=min(limit, 1000) or 1000,
            view=JobView.FULL if output.full else JobView.BASIC,
            **filters.read(),
        )
        shown = islice(jobs, limit or None)
        if output.for_people:
            write_table(_JOB_COLUMNS, [_job_row(job, tenants=filters.all_tenants) for job in shown])
        else:
            output.many(map(of_job, shown))
        if limit and next(jobs, None) is not None:
            note(f"There are more than these {limit}: --limit shows more, 0 all.")


def _job_row(job: JobInfo, *, tenants: bool) -> list[str]:
    progress = job.progress
    if progress is None:
        done = ""
    elif progress.percent is None:
        done = str(progress.done)
    else:
        done = f"{progress.percent:.0f}%"
    return [
        job.job_id,
        job.status,
        job.tenant if tenants else "",
        job.spec.type,
        done,
        show_age(job.create_time),
        show_span(job.wait_time),
        show_span(job.run_time),
        job.spec.owner,
        job.spec.description,
    ]


def count(
    session: Session,
    filters: FilterOptions,
    form: OutputOptions,
    by: Annotated[
        str | None,
        typer.Option(metavar="GROUPS", help="Count by status, type, tenant, owner, queue; with commas."),
    ] = None,
) -> None:
    """Count jobs.

    Example: headrace count --by status,type --since 24h
    """
    output = form.read()
    groups = [name.strip().upper() for name in by.split(",")] if by else []
    with session.connect(tenant=filters.tenant) as client:
        counts = client.count(group_by=groups, **filters.read())
    if not output.for_people:
        names = [group.lower() for group in groups]
        rows = [{**dict(zip(names, row.keys, strict=True)), "count": row.count} for row in counts.groups]
        if not groups:
            rows = [{"count": counts.total}]
        output.many(Record("count", " ".join(map(str, row.values())), row) for row in rows)
    elif groups:
        columns = [*(Column(name) for name in groups), Column("COUNT", right=True)]
        write_table(columns, [[*row.keys, str(row.count)] for row in counts.groups])
    else:
        write_table([Column("COUNT", right=True)], [[str(counts.total)]])
    if counts.at_least:
        note("Counting ended early: there are at least so many.")


def events(
    session: Session,
    job_id: JobId,
    form: OutputOptions,
    after: Annotated[int, typer.Option(min=0, metavar="REV", help="Only events after this revision.")] = 0,
) -> None:
    """Show the history of a job, oldest first.

    Example: headrace events JOB_ID -o jsonl
    """
    output = form.read()
    with session.connect() as client:
        history = client.events(job_id, after_revision=after, page_size=1000)
        if not output.for_people:
            output.many(map(of_event, history))
            return
        rows = [
            [str(event.revision), show_clock(event.event_time), str(event.attempt or ""), event_text(event)]
            for event in history
        ]
    write_table(_EVENT_COLUMNS, rows)
