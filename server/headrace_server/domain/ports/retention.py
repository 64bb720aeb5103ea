"""Retention: ended jobs are deleted when their time is over."""

from dataclasses import dataclass
from typing import Protocol

from headrace_server.domain.retention import Retention


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The outcome of one step of a sweep.

    turn: to be given with the next step. mine: False when another instance has swept since, and
    nothing was done. jobs: how many were deleted. more: there are more to be deleted now.
    """

    turn: int
    mine: bool
    jobs: int = 0
    more: bool = False


class RetentionStore(Protocol):
    """A store that deletes the ended jobs whose retention is over."""

    async def sweep(self, retention: Retention, turn: int | None) -> SweepResult:
        """Delete some jobs whose retention is over, and request_ids that are no longer needed.

        turn is that of the last answer, None at first. Nothing is done when another instance has
        swept since.
        """
        ...
