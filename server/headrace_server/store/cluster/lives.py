"""What the writer does for the life of an instance: its row comes, is touched, and goes."""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace_server.domain.ports.cluster import Instance
from headrace_server.store.cluster import instances
from headrace_server.store.write.operations import Phase, WriteOperation
from headrace_server.store.write.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Join(WriteOperation[None]):
    """Begin a life as `me`.

    The previous life, if there was one, has ended. `alone` says that there are no other instances.
    """

    phase = Phase.SWEEP
    me: Instance
    before: str
    numbers: Sequence[int]
    alone: bool

    def apply(self, unit: UnitOfWork) -> None:
        """Write the row."""
        unit.wrote = True
        instances.leave(unit.connection, self.before)
        instances.join(unit.connection, self.me, self.numbers, unit.now, alone=self.alone)


@dataclass(frozen=True, slots=True)
class Leave(WriteOperation[None]):
    """End a life."""

    phase = Phase.SWEEP
    me: str

    def apply(self, unit: UnitOfWork) -> None:
        """Take the row away."""
        unit.wrote = True
        instances.leave(unit.connection, self.me)


@dataclass(frozen=True, slots=True)
class Touch(WriteOperation[None]):
    """Write something, to see whether that can be done."""

    phase = Phase.SWEEP
    me: str

    def apply(self, unit: UnitOfWork) -> None:
        """Write one's own row as it is."""
        unit.wrote = True
        instances.touch(unit.connection, self.me)
