"""The cluster: the instances that serve one database, and the life of this one among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from headrace_server.domain.job import JobError


@dataclass(frozen=True, slots=True)
class Instance:
    """One life of one server among those that serve the database.

    `about` is what the instance reports of itself: plain values by name. `held` counts its runs.
    """

    instance: str
    start_time: int
    about: Mapping[str, Any]
    live: bool = True
    held: int = 0


class Liveness(Protocol):
    """The proof that this instance is one of those that serve the database, and is alive."""

    @property
    def instance(self) -> str:
        """The id of its present life."""
        ...

    def valid(self) -> bool:
        """Whether a run may be begun now; false once others may have taken its runs over."""
        ...

    def fence(self) -> float | None:
        """The CLOCK_BOOTTIME at which nothing may be left of the instance's runs.

        It is None where no other instance takes runs over.
        """
        ...


class LifeListener:
    """A listener for what becomes of the life that `ClusterStore.join` has begun.

    It is notified on the event loop's thread.
    """

    def about(self) -> Mapping[str, Any]:
        """Return what each beat reports about this instance.

        It may be called from any thread.
        """
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
        """Begin a life among the instances that serve the database.

        The previous life is over. `lease` is in seconds, or None for an instance that is alone.
        """
        ...

    async def recover(self, error: JobError, *, confirmed: bool) -> int:
        """Apply domain.running.recover to every job held by an instance that is not alive.

        Return how many jobs these were.
        """
        ...

    async def finish_batches(self) -> int:
        """Complete the batches that the dead have decided, and remove what they staged of others.

        Return how many were completed or removed.
        """
        ...

    async def instances(self, *, held: bool = True) -> list[Instance]:
        """Return the live instances and those that died lately, oldest first.

        `held` asks for the number of their runs too.
        """
        ...
