"""Jobs: what the use cases ask and change, and what a run writes of itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event
from headrace_server.domain.job import Job
from headrace_server.domain.query import Counts, Filter, FullJob, Group, Order
from headrace_server.domain.spec import Spec

Decision = Callable[[Job, int], Change]
"""A function from the job as it stands and the time now to a Change.

It is a function of domain.requests, expiry or running with its other arguments bound.
"""

Cursor = tuple[int, str]
"""The end of a page: the sort key's value and the job id of the page's last job."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be created.

    `request_id` is empty for none. `digest` is the canonical hash of the spec as sent.

    parameters is the JSON text of a dict of plain values (domain.values).
    """

    job_id: str
    tenant: str
    spec: Spec
    hold: bool
    request_id: str
    digest: str
    parameters: str = "{}"
    batch_id: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job as it stands; existing when an earlier call with this request_id made it."""

    job: FullJob
    existing: bool


@dataclass(frozen=True, slots=True)
class BatchSubmission:
    """Jobs to be created, all of them or none. Those have no request_id and no digest of their own.

    `request_id` and `digest` are those of the whole, as of a Submission. The ids of the jobs are
    those that domain.batch makes of `batch_id`.
    """

    batch_id: str
    tenant: str
    request_id: str
    digest: str
    jobs: Sequence[Submission]


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch of which all jobs exist; existing when an earlier call with this request_id made it."""

    batch_id: str
    existing: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A question for one page of jobs. tenant None means all. after continues behind a cursor."""

    tenant: str | None
    filter: Filter
    order: Order
    limit: int
    after: Cursor | None
    payload: bool


class JobReader(Protocol):
    """Queries about jobs, which write nothing and wait for no write."""

    async def get(self, job_id: str, *, tenant: str, payload: bool) -> FullJob:
        """One job. Raises JobNotFound."""
        ...

    async def find(self, page: Page) -> list[FullJob]:
        """The jobs of one page."""
        ...

    async def count(self, tenant: str | None, which: Filter, groups: Sequence[Group]) -> Counts:
        """Counts of the jobs that match."""
        ...

    async def events(self, job_id: str, *, after: int, limit: int) -> list[Event]:
        """Events of a job after a revision, oldest first; empty for an unknown job."""
        ...

    async def newer(self, known: Mapping[str, int]) -> tuple[list[Job], list[str]]:
        """Return the known jobs that have moved on, and the ids of those that are gone.

        `known` maps job ids to revisions. A job has moved on when it has another revision by now,
        or shows progress.
        """
        ...


class JobChanger(Protocol):
    """One change of one job."""

    async def apply(self, job_id: str, decide: Decision, *, tenant: str | None = None) -> Change:
        """Change one job by a decision.

        A `tenant` of None skips the check that the job is the caller's. Raises JobNotFound, and
        what `decide` raises.
        """
        ...


class JobStore(JobReader, JobChanger, Protocol):
    """The operations on jobs that callers ask for.

    An answer to a write means that it is on disk.
    """

    async def submit(self, submission: Submission) -> Submitted:
        """Create the job, or find the one of this request_id. Raises RequestIdReused, QueueFull."""
        ...

    async def submit_batch(self, batch: BatchSubmission) -> SubmittedBatch:
        """Create the jobs of a batch, or find the batch of this request_id.

        Answers when all of its jobs are on disk. It goes on where its caller is cancelled. Raises
        RequestIdReused, QueueFull.
        """
        ...

    async def delete(self, job_id: str, *, tenant: str) -> None:
        """Delete a job with its payload and history, if domain.requests.check_delete allows it.

        Raises JobNotFound.
        """
        ...

    async def purge(self, job_ids: Sequence[str], *, tenant: str) -> int:
        """Delete those of these jobs that have ended and are not locked; return how many.

        They are deleted in one transaction.
        """
        ...
