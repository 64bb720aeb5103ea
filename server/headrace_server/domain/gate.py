"""Gates: what an operator lets run of a queue, a tenant or a type, and how much of it at once.

    queue emails      at most 20 at once, 2 of each owner
    tenant acme       paused
    tenant birch      three places in a round
    type resize       at most 4 at once

A job passes three gates, that of its queue, that of its tenant and that of its type; where nothing
was said there is none. What counts as running is what instances hold: TO_BE_RUN and RUNNING.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Scope(StrEnum):
    """The kind of thing that a gate applies to."""

    QUEUE = "queue"
    TENANT = "tenant"
    TYPE = "type"

    def key(self, name: str) -> str:
        """The key of the gate of this name."""
        return f"{self.value}:{name}"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate.

    `max_running_per_owner` counts each owner of each tenant separately. None means no limit.
    """

    scope: Scope
    name: str
    paused: bool = False
    max_running: int | None = None
    max_running_per_owner: int | None = None
    weight: int = 1
    """Places in a round; of a tenant's gate only."""

    @property
    def key(self) -> str:
        """The key under which the gate is found."""
        return self.scope.key(self.name)

    @property
    def limited(self) -> bool:
        """Whether what runs must be counted before more is let through."""
        return self.max_running is not None or self.max_running_per_owner is not None

    @property
    def silent(self) -> bool:
        """Whether the gate has no more effect than no gate at all."""
        return self == Gate(self.scope, self.name)

    def changed(self, fields: Mapping[str, Any]) -> "Gate":
        """The gate with other values in these fields."""
        return replace(self, **fields)


@dataclass(frozen=True, slots=True)
class ReadyKey:
    """The key of a lane: the ready jobs of one queue, type and tenant.

    The jobs of a lane wait in one order, by priority and then by age.
    """

    queue: str
    type: str
    tenant: str
    keys: tuple[str, str, str] = field(init=False, compare=False, repr=False)
    """The keys of the gates that its jobs pass."""

    def __post_init__(self) -> None:
        keys = (Scope.QUEUE.key(self.queue), Scope.TYPE.key(self.type), Scope.TENANT.key(self.tenant))
        object.__setattr__(self, "keys", keys)


WAITING_LIMIT = 10_000
"""Waiting jobs of a queue or a tenant that are counted."""


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The activity of a queue or tenant: its gate, claimable jobs, and jobs held by instances.

    waiting is exact up to WAITING_LIMIT, then at_least. oldest: when the oldest of those counted
    was released.
    """

    gate: Gate
    waiting: int
    at_least: bool
    oldest: int | None
    running: int
