"""Claims: how the dispatcher takes ready jobs for its slots."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_server.domain.job import Job
from headrace_server.domain.ports.jobs import JobChanger


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A place for one run.

    `permit` says that a child can begin the run at once, so that claim and start permit share a
    transaction.
    """

    worker: str
    permit: bool


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A request to fill slots with ready jobs of `types`.

    Tenants take turns. Within a tenant, jobs are taken by priority and then by age.

    queues: of these only; empty means all. without_limits: leave out what is counted by a limit,
    since it would count while it waits behind another.
    """

    instance: str
    slots: Sequence[FreeSlot]
    types: frozenset[str]
    queues: frozenset[str] = frozenset()
    without_limits: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job taken for a slot.

    It is RUNNING with a permit, TO_BE_RUN without one, and FAILED when it expired just then.
    """

    job: Job
    parameters: str
    slot: FreeSlot


class ClaimStore(JobChanger, Protocol):
    """A store that claims jobs and records what becomes of their runs."""

    @property
    def nothing_waits(self) -> bool:
        """Whether it is certain that a claim would find nothing."""
        ...

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Fill slots with ready jobs; fewer when there are fewer."""
        ...

    def claim_along(self, request: ClaimRequest) -> Awaitable[list[Claimed]]:
        """Claim in the transaction of a submit, called in CommitListener.submitting.

        It takes what an ordinary claim would take, or less. What goes wrong is no news: an ordinary
        claim finds the same.
        """
        ...
