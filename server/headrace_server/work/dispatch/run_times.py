"""How long runs of each type have taken: what may be handed ahead to a child."""

from collections import deque
from collections.abc import Collection

SHORT = 0.020
"""Seconds: what a whole backlog may take, by the slow end of the type's history."""
MOST = 64
KEPT = 32
NEEDED = 8
"""Runs before a history counts."""


class RunTimes:
    """Run times by type."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        self._depths: dict[str, int] = {}

    def add(self, type_name: str, seconds: float) -> None:
        """A run of a type has taken this long."""
        times = self._times.setdefault(type_name, deque(maxlen=KEPT))
        times.append(seconds)
        if len(times) < NEEDED:
            depth = 0
        else:
            slow = sorted(times)[int(len(times) * 0.95)]
            depth = min(MOST, int(SHORT / max(slow, 1e-6)))
        self._depths[type_name] = depth

    def short_types(self) -> frozenset[str]:
        """The types whose runs may wait behind another."""
        return frozenset(name for name, depth in self._depths.items() if depth > 0)

    def depth(self, type_names: Collection[str]) -> int:
        """How many runs may wait behind runs of these types; 0 when any is not short."""
        return min((self._depths.get(name, 0) for name in type_names), default=0)
