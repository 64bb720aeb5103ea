"""A memory of what was reported, so that each thing is reported once, however often it occurs."""

from typing import Final

MOST: Final = 10_000
"""Things remembered; then they may be told again."""


class Once:
    """Remembers what was told. Threads may share it: at worst something is told twice."""

    def __init__(self) -> None:
        self._told: set[tuple[object, ...]] = set()

    def first(self, *what: object) -> bool:
        """Whether this is to be told now."""
        if what in self._told:
            return False
        if len(self._told) >= MOST:
            self._told.clear()
        self._told.add(what)
        return True

    def forget(self) -> None:
        """Everything is new again."""
        self._told.clear()
