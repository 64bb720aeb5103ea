"""Questions about many jobs: the one filter, orders, pages and counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from headrace_server.domain.job import Job, Status

ALL_TENANTS = "-"
COUNT_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class ParameterFilter:
    """A condition on a top-level parameter: it equals a plain value, or begins with text."""

    name: str
    equals: Any = None
    prefix: str | None = None
    """When set, the condition is the prefix and equals is not looked at."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that select jobs.

    Fields that are set are ANDed. Within a list any entry matches. Ranges are [from, to).
    """

    statuses: tuple[Status, ...] = ()
    types: tuple[str, ...] = ()
    """Exact, or a prefix followed by one `*`."""
    owners: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    job_ids: tuple[str, ...] = ()
    batch_ids: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    create_time_from: int | None = None
    create_time_to: int | None = None
    status_time_from: int | None = None
    status_time_to: int | None = None
    parameters: tuple[ParameterFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs of a tenant that match, from a token on."""

    tenant: str
    filter: Filter
    token: str


class Order(IntEnum):
    """The order of a list, with ties ordered by job id in the same direction.

    The numbers are those of JobOrder.
    """

    CREATE_TIME_DESC = 1
    CREATE_TIME_ASC = 2
    STATUS_TIME_DESC = 3
    STATUS_TIME_ASC = 4
    PRIORITY_DESC = 5
    PRIORITY_ASC = 6


class Group(IntEnum):
    """The property by which counts are grouped; the numbers are those of CountGroup."""

    STATUS = 1
    TYPE = 2
    TENANT = 3
    OWNER = 4
    QUEUE = 5


@dataclass(frozen=True, slots=True)
class Payload:
    """The wide part of a job: JSON texts of plain values.

    `result` is None when nothing was returned.
    """

    parameters: str
    result: str | None
    results: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FullJob:
    """A job, with its payload when that was asked for."""

    job: Job
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Groups as (keys, count), largest first; at_least when counting ended early."""

    groups: tuple[tuple[tuple[str, ...], int], ...]
    total: int
    at_least: bool
