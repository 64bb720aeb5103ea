"""Commits: who is told of them."""

from collections.abc import Sequence

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event


class CommitListener:
    """Who wants to know of commits: one of the listeners of the store. What it does not override, it does not hear.

    Called on the event loop's thread. An error of one is logged, and keeps the others from nothing.
    """

    def committed(self, changes: Sequence[Change]) -> None:
        """This store has committed these: one Change for each job with all its events, before any caller is answered.

        Deletion is no change.
        """

    def overheard(self, events: Sequence[Event]) -> None:
        """Other stores of the database have committed these: events of each job in their order, each once.

        They come a little later, and some may be missing after trouble: `JobReader.newer` finds those.
        """

    def opened(self) -> None:
        """More may be claimed though no job here has changed: a gate was changed, was busy, or has room again."""
