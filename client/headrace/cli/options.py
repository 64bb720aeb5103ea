"""The arguments and options that several commands share, and the groups of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from headrace._models.retry_policy import RetryPolicy
from headrace.cli import completion
from headrace.cli.assignments import read_texts, read_values
from headrace.cli.form import Form
from headrace.cli.output import Output
from headrace.cli.template import Template
from headrace.cli.times import read_future, read_past, read_span, unless_never
from headrace.options import JobChanges, JobFilters, JobOptions

JobId = Annotated[
    str, typer.Argument(metavar="JOB_ID", help="The job, by its whole id.", autocompletion=completion.job_ids)
]
JobTypeName = Annotated[
    str,
    typer.Argument(
        metavar="TYPE", help="The type of job; `headrace types` lists them.", autocompletion=completion.types
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=TEXT|NAME:=JSON]...", help="Parameters, such as file=a.png 'sizes:=[16, 32]'."
    ),
]
Messages = Annotated[
    bool, typer.Option("--messages/--no-messages", help="Also what the job logs and prints.")
]
RunAfter = Annotated[
    datetime | None,
    typer.Option(
        parser=read_future,
        metavar="WHEN",
        help="Start it not before this time: ISO 8601, or +30s; none: at once.",
    ),
]
Expire = Annotated[
    datetime | None,
    typer.Option(
        parser=read_future, metavar="WHEN", help="Fail it if it has not started by this time; none: never."
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label; repeatable.")
]
_Texts = list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """The form of the output."""

    output: Annotated[Form | None, typer.Option("--output", "-o", help="The form of the output.")] = None
    template: Annotated[
        str | None,
        typer.Option("--format", metavar="TEXT", help="Such as '{job.spec.parameters.file} {job.status}'."),
    ] = None

    @property
    def given(self) -> bool:
        """Whether the caller asked for a form."""
        return self.output is not None or self.template is not None

    def read(self) -> Output:
        """The form. Raises ValueError when both are given, or the template cannot be read."""
        if self.template is None:
            return Output(self.output or Form.TABLE)
        if self.output is not None:
            raise ValueError("--format and --output exclude each other.")
        return Output(template=Template.read(self.template))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecOptions:
    """The options of submit and run for a job, besides its type and parameters."""

    params_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parameters from a .json or .yaml file, - for stdin; the command line goes before it.",
        ),
    ] = None
    priority: Annotated[int | None, typer.Option(help="Higher runs first.", metavar="N")] = None
    owner: Annotated[str | None, typer.Option(help="On whose behalf.")] = None
    session_id: Annotated[str | None, typer.Option(help="The session on whose behalf.")] = None
    description: Annotated[str | None, typer.Option(help="Free text for people.")] = None
    queue: Annotated[str | None, typer.Option(help="The queue.")] = None
    label: Labels = None
    run_after: RunAfter = None
    expire: Expire = None
    attempt_timeout: Annotated[
        timedelta | None,
        typer.Option(parser=read_span, metavar="TIME", help="The longest run of one attempt."),
    ] = None
    max_attempts: Annotated[
        int | None,
        typer.Option(min=1, max=1000, metavar="N", help="How often it may start (its type's own)."),
    ] = None
    backoff: Annotated[
        timedelta | None,
        typer.Option(parser=read_span, metavar="TIME", help="The wait before its second attempt (1s)."),
    ] = None
    request_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Makes a repetition safe: the same id gives the same job."),
    ] = None

    def read(self) -> JobOptions:
        """The options of the client. Raises ValueError."""
        return JobOptions(
            priority=self.priority,
            owner=self.owner,
            session_id=self.session_id,
            description=self.description,
            queue=self.queue,
            labels=read_texts(self.label or ()),
            run_after=unless_never(self.run_after),
            expire_time=unless_never(self.expire),
            attempt_timeout=self.attempt_timeout,
            retry_policy=self._retry_policy(),
            request_id=self.request_id,
        )

    def _retry_policy(self) -> RetryPolicy | None:
        if self.max_attempts is None:
            if self.backoff is not None:
                raise ValueError("--backoff needs --max-attempts: it is the wait between two of them.")
            return None
        if self.backoff is None:
            return RetryPolicy(self.max_attempts)
        return RetryPolicy(self.max_attempts, initial_backoff=self.backoff)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOptions:
    """The options of update and update-jobs for the fields to change, besides labels.

    Only the fields that are given change.
    """

    priority: Annotated[int | None, typer.Option(help="Higher runs first.", metavar="N")] = None
    description: Annotated[str | None, typer.Option(help="Free text for people.")] = None
    clear_labels: Annotated[
        bool, typer.Option("--clear-labels", help="Remove the labels that are there.")
    ] = False
    lock: Annotated[bool | None, typer.Option("--lock/--unlock", help="Refuse deletion.")] = None
    run_after: RunAfter = None
    expire: Expire = None

    def read(self, labels: list[str] | None) -> JobChanges:
        """The changes of the client. Raises ValueError where there are none."""
        changes = JobChanges()
        if self.priority is not None:
            changes["priority"] = self.priority
        if self.description is not None:
            changes["description"] = self.description
        if labels or self.clear_labels:
            changes["labels"] = read_texts(labels or ())
        if self.lock is not None:
            changes["locked"] = self.lock
        if self.run_after is not None:
            changes["run_after"] = unless_never(self.run_after)
        if self.expire is not None:
            changes["expire_time"] = unless_never(self.expire)
        if not changes:
            raise ValueError("There is nothing to change: give one of the options, such as --priority 10.")
        return changes


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """Which jobs: every option that is given must match; of one that is repeated, any."""

    status: Annotated[
        _Texts,
        typer.Option(
            help="RUNNING, FAILED …; repeatable, as the next five are.", autocompletion=completion.statuses
        ),
    ] = None
    type: Annotated[
        _Texts, typer.Option(help="A type, or a prefix and *.", autocompletion=completion.types)
    ] = None
    owner: Annotated[_Texts, typer.Option(help="An owner.")] = None
    queue: Annotated[_Texts, typer.Option(help="A queue.")] = None
    session_id: Annotated[_Texts, typer.Option(help="A session.")] = None
    batch_id: Annotated[_Texts, typer.Option(help="A batch.")] = None
    label: Annotated[_Texts, typer.Option(metavar="KEY=VALUE", help="A label; all that are given.")] = None
    param: Annotated[
        _Texts, typer.Option(metavar="NAME=TEXT|NAME:=JSON", help="A parameter; needs one --type.")
    ] = None
    param_prefix: Annotated[
        _Texts, typer.Option(metavar="NAME=TEXT", help="How a parameter begins; needs one --type.")
    ] = None
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=read_past, metavar="WHEN", help="Submitted since: ISO 8601, or 2h for so long ago."
        ),
    ] = None
    until: Annotated[
        datetime | None, typer.Option(parser=read_past, metavar="WHEN", help="Submitted before.")
    ] = None
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Jobs of every tenant.")] = False

    def read(self) -> JobFilters:
        """The filters of the client. Raises ValueError."""
        return JobFilters(
            statuses=[status.upper().replace("-", "_") for status in self.status or ()],
            types=self.type,
            owners=self.owner,
            queues=self.queue,
            session_ids=self.session_id,
            batch_ids=self.batch_id,
            labels=read_texts(self.label or ()),
            parameters=read_values(self.param or ()),
            parameter_prefix=read_texts(self.param_prefix or ()),
            create_time_from=self.since,
            create_time_to=self.until,
        )

    @property
    def tenant(self) -> str | None:
        """The tenant to ask for, where it is not the session's."""
        return "-" if self.all_tenants else None
