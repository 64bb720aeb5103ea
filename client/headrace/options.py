"""The types of the keyword arguments that several methods share.

They are those that submit and run, the lists, and the updates take.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from headrace._models.enums import JobStatus
from headrace._models.retry_policy import RetryPolicy

__all__ = ["GateChanges", "JobChanges", "JobFilters", "JobOptions", "NewJob", "Span", "SpecOptions"]

Span = timedelta | float
"""A length of time: a timedelta, or a number of seconds."""


class SpecOptions(TypedDict, total=False):
    """The options of a job besides its type and parameters.

    An option that is left out, or None, has the server's default.
    """

    description: str | None
    """Free text for people."""
    owner: str | None
    """On whose behalf."""
    session_id: str | None
    """The session on whose behalf."""
    queue: str | None
    """"default" when left out."""
    priority: int | None
    """Higher runs first within a tenant; 0 when left out."""
    labels: Mapping[str, str] | None
    """Free labels to filter by."""
    run_after: datetime | timedelta | None
    """Not before this time, or this long from now by the caller's clock."""
    expire_time: datetime | timedelta | None
    """The latest time for the first attempt to start.

    A job that has not started by then fails with EXPIRED.
    """
    attempt_timeout: Span | None
    """The longest run of one attempt."""
    retry_policy: RetryPolicy | None
    """How failed attempts are repeated."""


class JobOptions(SpecOptions, total=False):
    """The options of submit and run: those of the job, and those of the call."""

    tenant: str | None
    """The client's own tenant when left out."""
    request_id: str | None
    """The id that makes it safe to repeat a call: the same id gives the same job.

    A new id is made when it is left out.

    The repetition has to ask for the same: with run_after or expire_time, give a datetime, not a
    timedelta.
    """


@dataclass(frozen=True, slots=True, init=False)
class NewJob:
    """A job that is submitted with others: NewJob("image.resize", {"file": "a.png"}, priority=5)."""

    job_type: str
    parameters: Mapping[str, Any]
    options: SpecOptions

    def __init__(
        self, job_type: str, parameters: Mapping[str, Any] | None = None, /, **options: Unpack[SpecOptions]
    ) -> None:
        """Takes what `submit` takes for one job; headrace.options.SpecOptions lists the options."""
        object.__setattr__(self, "job_type", job_type)
        object.__setattr__(self, "parameters", parameters or {})
        object.__setattr__(self, "options", options)


class JobFilters(TypedDict, total=False):
    """The filters that choose jobs: a job must match all that are given, and any entry of each.

    A single entry may stand without a list.
    """

    statuses: JobStatus | str | Iterable[JobStatus | str] | None
    types: str | Iterable[str] | None
    """Exact, or a prefix followed by "*"."""
    owners: str | Iterable[str] | None
    queues: str | Iterable[str] | None
    session_ids: str | Iterable[str] | None
    job_ids: str | Iterable[str] | None
    batch_ids: str | Iterable[str] | None
    """Submitted with one of these batches."""
    labels: Mapping[str, str] | None
    """All of these."""
    create_time_from: datetime | None
    """Submitted at or after this time."""
    create_time_to: datetime | None
    """Submitted before this time."""
    status_time_from: datetime | None
    """Last changed status at or after this time."""
    status_time_to: datetime | None
    """Last changed status before this time."""
    parameters: Mapping[str, Any] | None
    """With these parameters; needs exactly one type without "*"."""
    parameter_prefix: Mapping[str, str] | None
    """With text parameters that begin like this; needs exactly one type without "*"."""


class GateChanges(TypedDict, total=False):
    """The fields of a gate that update_gate changes: those given, and no others."""

    paused: bool
    """True: nothing of it is claimed."""
    max_running: int | None
    """How many of its jobs run at once. None: no limit."""
    max_running_per_owner: int | None
    """How many of them for each owner of each tenant. None: no limit."""
    weight: int
    """A tenant's places in a round: 1 to 1,000."""


class JobChanges(TypedDict, total=False):
    """The fields that update changes: those given, and no others."""

    description: str
    labels: Mapping[str, str]
    """Replaces all labels."""
    locked: bool
    """True refuses deletion."""
    priority: int
    run_after: datetime | timedelta | None
    """None: at once."""
    expire_time: datetime | timedelta | None
    """None: never."""
