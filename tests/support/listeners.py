"""Listeners on a store, for tests that want to know what it tells."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event
from headrace_server.domain.ports.cluster import LifeListener
from headrace_server.domain.ports.commits import CommitListener


class Recorder(CommitListener):
    """Hands on what it is told."""

    def __init__(
        self,
        *,
        committed: Callable[[Sequence[Change]], Any] | None = None,
        overheard: Callable[[Sequence[Event]], Any] | None = None,
        opened: Callable[[], Any] | None = None,
    ) -> None:
        self._committed = committed
        self._overheard = overheard
        self._opened = opened

    def committed(self, changes: Sequence[Change]) -> None:
        """Of this store."""
        if self._committed:
            self._committed(changes)

    def overheard(self, events: Sequence[Event]) -> None:
        """Of others."""
        if self._overheard:
            self._overheard(events)

    def opened(self) -> None:
        """More may be claimed."""
        if self._opened:
            self._opened()


class Deaths(LifeListener):
    """When it was said that others may have died."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def others_died(self) -> None:
        """Another time."""
        self.times.append(time.monotonic())
