"""What the listeners of a store hear: what it commits and, by the tail, what others commit.

this store's writers ── committed ──> CommitNews ──> job log, hub, dispatcher …
│  └─ hint ──> the others' tails
others' commits ── tail ── overheard ────┘
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event
from headrace_server.domain.for_each import singly
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.store.claim.claim_retry import ClaimRetry
from headrace_server.store.read.tail import Tail
from headrace_server.store.sql import Dialect

log = logging.getLogger(__name__)


class CommitNews:
    """Notifies those that listen at that moment: most begin after the store was opened."""

    def __init__(self) -> None:
        self.listeners: list[CommitListener] = []
        self.retry = ClaimRetry(self.opened)
        """It hears what others have committed, after the listeners."""
        self._tail: Tail | None = None

    def follow(self, engine: Engine, database: Dialect, own: Sequence[int]) -> None:
        """Hear of others from now on, where there can be any.

        own: the numbers of the store's own writers. Raises what the database raises.
        """
        if self._tail is not None or (hints := database.hints()) is None:
            return
        tail = Tail(
            engine,
            asyncio.get_running_loop(),
            database=database,
            hints=hints,
            own=own,
            on_events=self._overheard,
            on_open=self.opened,
        )
        try:
            tail.start()
        except Exception:
            tail.stop()  # which closes what it waits with: the next try makes another
            raise
        self._tail = tail

    async def stop(self) -> None:
        """Hear of others no more."""
        if self._tail is not None:
            await asyncio.to_thread(self._tail.stop)

    def committed(self, changes: Sequence[Change]) -> None:
        """This store has committed these."""
        self.tell(lambda listener: listener.committed(changes))
        if self._tail is not None:
            self._tail.hint()

    def opened(self) -> None:
        """What a gate kept back may pass now."""
        self.tell(lambda listener: listener.opened())

    def gate_changed(self) -> None:
        """This store has changed a gate."""
        self.opened()
        if self._tail is not None:
            self._tail.opened()

    def tell(self, what: Callable[[CommitListener], None]) -> None:
        """Call each listener; an error of one keeps the others from nothing."""
        singly(self.listeners, what, log=log, failed="a listener failed on what was committed")

    def _overheard(self, events: Sequence[Event]) -> None:
        self.tell(lambda listener: listener.overheard(events))
        self.retry.overheard(events)
