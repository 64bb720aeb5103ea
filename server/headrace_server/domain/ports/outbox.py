"""The outbox and the broker: how events leave."""

from collections.abc import Callable, Sequence
from typing import Protocol

from headrace_server.domain.broadcast import Ack, Backlog, Broadcast, Unsent
from headrace_server.domain.job import Job, Progress


class Outbox(Protocol):
    """The broadcasts that no broker has confirmed.

    They were written with their events, in one transaction.

    Any method raises StoreUnavailable when the database cannot be reached.
    """

    async def unsent(self, *, after: int, parked: bool, limit: int) -> Unsent:
        """Return a page of the broadcasts after a place, with all broadcasts of their jobs.

        The jobs are those of the next `limit` broadcasts. The page holds at most four times
        `limit`.

        parked: of those jobs that have broadcasts which are parked, else of those that have some
        which are not.
        """
        ...

    async def settle(self, sent: Sequence[int], parked: Sequence[int]) -> None:
        """Delete what was confirmed, and mark what no queue wants, by their places."""
        ...

    async def try_lead(self, *, want: bool) -> bool:
        """Return whether this instance is the one that publishes.

        `want` says that this instance would publish, if no other live instance does.
        """
        ...

    async def backlog(self) -> Backlog:
        """Return how much waits in the outbox."""
        ...


class Publisher(Protocol):
    """The broker, as far as it can be reached.

    Callbacks come on the event loop's thread, in the order of what they report.

    on_up: what is published from now on is settled one by one, or on_down is called: what was not
    settled by then may or may not have arrived.
    """

    on_up: Callable[[], None]
    on_down: Callable[[], None]
    on_settled: Callable[[Sequence[Ack]], None]

    def start(self) -> None:
        """Connect, and go on trying to."""
        ...

    def publish(self, broadcasts: Sequence[Broadcast]) -> None:
        """Have these sent. Never waits."""
        ...

    def publish_progress(self, job: Job, progress: Progress) -> None:
        """Send a job's progress, if it can be sent now. Nobody hears whether it arrived."""
        ...

    async def close(self) -> None:
        """Give the connection up, and send nothing more."""
        ...
