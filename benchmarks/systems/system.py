"""The one interface behind which Headrace and its peers are measured."""

from abc import ABC, abstractmethod
from typing import NamedTuple


class Lone(NamedTuple):
    """One job on an idle system: milliseconds from its submit until its code began, and until it
    was known to be done.
    """

    started: float
    done: float


class System(ABC):
    """Each call starts what it needs, on empty tables and queues, and ends it.

    durable: whether a submit that is answered is on the disk. known: how the caller learns that a
    job is done. work: how the workers are set up.
    """

    name: str
    durable: str
    known: str
    work: str

    @abstractmethod
    def submits(self, count: int, in_flight: int) -> float:
        """Submits a second, no worker up."""

    @abstractmethod
    def batches(self, count: int, size: int) -> float | None:
        """Jobs a second in batches of a size, no worker up; None when the system has no such call."""

    @abstractmethod
    def drain(self, count: int) -> float:
        """No-ops a second: queued before the workers start, from the first run to the last."""

    @abstractmethod
    def lone(self, count: int) -> list[Lone]:
        """So many jobs, one after the other, on an idle system."""
