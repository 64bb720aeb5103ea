"""Claims: how the dispatcher takes ready jobs for its slots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_server.domain.job import Job
from headrace_server.domain.ports.jobs import JobChanger


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A place for one run. permit: a child can begin it at once, so claim and start permit share a transaction."""

    worker: str
    permit: bool


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Slots to fill with ready jobs of `types`: tenants in turn; within a tenant priority, then age.

    queues: of these only; empty means all. without_limits: leave out what is counted by a limit, since it would count
    while it waits behind another.
    """

    instance: str
    slots: Sequence[FreeSlot]
    types: frozenset[str]
    queues: frozenset[str] = frozenset()
    without_limits: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job taken for a slot. It is RUNNING with a permit, TO_BE_RUN without, FAILED when it expired just then."""

    job: Job
    parameters: str
    slot: FreeSlot


class ClaimStore(JobChanger, Protocol):
    """Where jobs are claimed, and what becomes of their runs is written."""

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Fill slots with ready jobs; fewer when there are fewer."""
        ...
