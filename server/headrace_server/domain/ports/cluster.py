"""The cluster: the instances that serve one database, and the life of this one among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from headrace_server.domain.job import JobError


@dataclass(frozen=True, slots=True)
class Instance:
    """One life of one that serves the database. about: what it tells of itself, plain values by name. held: its runs."""

    instance: str
    start_time: int
    about: Mapping[str, Any]
    live: bool = True
    held: int = 0


class Liveness(Protocol):
    """That this instance is one of those that serve the database, and is alive."""

    @property
    def instance(self) -> str:
        """The id of its present life."""
        ...

    def valid(self) -> bool:
        """Whether a run may be begun now; false once others may have taken its runs over."""
        ...

    def fence(self) -> float | None:
        """When, by CLOCK_BOOTTIME, nothing may be left of its runs; None where nobody takes any over."""
        ...


class LifeListener:
    """Who is told, on the event loop's thread, what becomes of the life that `ClusterStore.join` has begun."""

    def about(self) -> Mapping[str, Any]:
        """What is told of this instance with each beat. From any thread."""
        return {}

    def lost(self) -> None:
        """This instance is not alive any more: `join` again, with another id."""

    def others_died(self) -> None:
        """Others may have left runs behind: `recover`."""


class ClusterStore(Protocol):
    """The lives of instances, and what the dead have left."""

    @property
    def instance(self) -> str:
        """The id of the life that `join` has begun."""
        ...

    async def join(self, me: Instance, *, lease: float | None, life: LifeListener) -> None:
        """Begin a life among those that serve the database; the one before it is over. lease: seconds, None alone."""
        ...

    async def recover(self, error: JobError, *, confirmed: bool) -> int:
        """Apply domain.running.recover to every job that an instance holds which is not alive; answer how many."""
        ...

    async def instances(self, *, held: bool = True) -> list[Instance]:
        """Those that serve the database, and those that have died lately, oldest first. held: count their runs too."""
        ...
