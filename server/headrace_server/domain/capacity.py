"""Capacity: how many jobs may still be taken through the gates that a claim holds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from headrace_server.domain.gate import Gate, ReadyKey

NO_LIMIT: Final = 1_000_000_000

Held = tuple[str, str, str, str]
"""The queue, the type, the tenant and the owner of a job that an instance holds."""


class Capacity:
    """The room left under each gate.

    A gate that was not named here is open and has weight 1.
    """

    def __init__(self) -> None:
        self._closed: set[str] = set()
        self._remaining: dict[str, int] = {}
        self._per_owner: dict[str, int] = {}
        self._weights: dict[str, int] = {}
        self._owned: Counter[tuple[str, str, str]] = Counter()
        """How many run through a gate of (its key, a tenant, an owner)."""

    def close(self, key: str) -> None:
        """Nothing passes this gate."""
        self._closed.add(key)

    def weigh(self, gate: Gate) -> None:
        """Places of a gate's jobs in a round."""
        self._weights[gate.key] = gate.weight

    def bound(self, gates: Iterable[Gate], held: Iterable[Held]) -> None:
        """Bound these gates, through which these jobs have gone."""
        known = {gate.key: gate for gate in gates}
        running: Counter[str] = Counter()
        for queue, kind, tenant, owner in held:
            for key in ReadyKey(queue, kind, tenant).keys:
                if key in known:
                    running[key] += 1
                    self._owned[key, tenant, owner] += 1
        for key, gate in known.items():
            if 0 in (gate.max_running, gate.max_running_per_owner):
                self.close(key)  # no end makes room
            if gate.max_running is not None:
                self._remaining[key] = gate.max_running - running[key]
            if gate.max_running_per_owner is not None:
                self._per_owner[key] = gate.max_running_per_owner

    def open(self, key: str) -> bool:
        """Whether anything passes this gate."""
        return key not in self._closed and self._remaining.get(key, 1) > 0

    @property
    def full(self) -> bool:
        """Whether a gate that is not closed has no room, or no room for some owner.

        The end of another job makes room there.
        """
        return any(
            remaining <= 0 for key, remaining in self._remaining.items() if key not in self._closed
        ) or any(
            count >= self._per_owner.get(key, NO_LIMIT)
            for (key, _, _), count in self._owned.items()
            if key not in self._closed
        )

    def weight(self, key: str) -> int:
        """Places in a round."""
        return self._weights.get(key, 1)

    def remaining(self, lane: ReadyKey) -> int:
        """Return how many jobs of a lane may be taken, regardless of their owner."""
        if self._closed.intersection(lane.keys):
            return 0
        return max(0, min(self._remaining.get(key, NO_LIMIT) for key in lane.keys))

    def counts_owners(self, lane: ReadyKey) -> bool:
        """Return whether the owner of a job matters in this lane."""
        return any(key in self._per_owner for key in lane.keys)

    def remaining_of(self, lane: ReadyKey, owner: str) -> int:
        """How many of a lane may be taken of this owner."""
        return max(0, min(self.remaining(lane), *(self._remaining_of(key, lane, owner) for key in lane.keys)))

    def _remaining_of(self, key: str, lane: ReadyKey, owner: str) -> int:
        bound = self._per_owner.get(key)
        return NO_LIMIT if bound is None else bound - self._owned[key, lane.tenant, owner]

    def full_owners(self, lane: ReadyKey) -> int:
        """How many owners, at most, have no room in this lane."""
        return sum(
            1
            for (key, tenant, _), count in self._owned.items()
            if tenant == lane.tenant and key in lane.keys and count >= self._per_owner.get(key, NO_LIMIT)
        )

    def fitting(self, lane: ReadyKey, owners: Sequence[str]) -> list[int]:
        """Return the indexes of the jobs that may be taken together under the owner limits.

        `owners` lists the owner of each of the jobs of the lane.
        """
        counts: Counter[str] = Counter()
        fitting = []
        for place, owner in enumerate(owners):
            if counts[owner] < self.remaining_of(lane, owner):
                counts[owner] += 1
                fitting.append(place)
        return fitting

    def take(self, lane: ReadyKey, owner: str) -> bool:
        """Take one; False when there is no room for it."""
        if not self._remaining and not self._per_owner:
            return True  # Most claims meet no limit at all.
        if not self.remaining_of(lane, owner):
            return False
        self._count(lane, owner, 1)
        return True

    def release(self, lane: ReadyKey, owner: str) -> None:
        """One that was taken is not used."""
        self._count(lane, owner, -1)

    def _count(self, lane: ReadyKey, owner: str, more: int) -> None:
        for key in lane.keys:
            if key in self._remaining:
                self._remaining[key] -= more
            if key in self._per_owner:
                self._owned[key, lane.tenant, owner] += more
