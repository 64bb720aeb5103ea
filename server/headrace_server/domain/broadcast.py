"""Broadcasts: events on their way to those who listen elsewhere, and what is needed to bring them there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Job, Progress

DEFAULT_KINDS = frozenset({EventKind.CREATED, EventKind.STATUS_CHANGED})
"""What is broadcast when nothing else was asked for."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An event that is to be broadcast.

    previous: the revision of the job's last event before it that is of a broadcast kind, 0 for none: who knows an older one has missed
    something. place: where it stands in the outbox. parked: no queue had wanted the job's events when they were last
    published. traceparent: the trace that the job belongs to. payload: the JSON text of a dict of plain values, the job's
    parameters with its creation and its results with its end; None where it is not to be sent, or too large.
    """

    event: Event
    previous: int
    place: int
    parked: bool = False
    traceparent: str = ""
    payload: str | None = None

    @property
    def id(self) -> str:
        """The same for every copy of it that is ever sent."""
        return f"{self.event.job_id}/{self.event.revision}"


class Disposition(Enum):
    """What became of a broadcast that was published."""

    CONFIRMED = auto()
    """The broker has it, on its disk."""
    UNROUTABLE = auto()
    """No queue wanted it: the broker has given it back."""
    UNFIT = auto()
    """It cannot be put into a message: a defect, of which the log tells."""
    REFUSED = auto()
    """The broker could not take it now."""


Ack = tuple[Broadcast, Disposition]


@dataclass(frozen=True, slots=True)
class Unsent:
    """A page of the outbox: all broadcasts of its jobs, those of a job in their order. end: its last place, None when it is empty."""

    broadcasts: Sequence[Broadcast]
    end: int | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox: at_least says that there is more than was counted. oldest: its time, None when empty."""

    pending: int
    parked: int
    at_least: bool
    oldest: int | None


class Outbox(Protocol):
    """The broadcasts that no broker has confirmed. They were written with their events, in one transaction.

    Any method raises StoreUnavailable when the database cannot be reached.
    """

    async def unsent(self, *, after: int, parked: bool, limit: int) -> Unsent:
        """A page of what stands behind this place: all broadcasts of the jobs of so many, up to four times as many.

        parked: of those jobs that have broadcasts which are parked, else of those that have some which are not.
        """
        ...

    async def settle(self, sent: Sequence[int], parked: Sequence[int]) -> None:
        """Delete what was confirmed, and mark what no queue wants, by their places."""
        ...

    async def try_lead(self, *, want: bool) -> bool:
        """Whether this instance is the one that publishes; want: it would be, if no other is alive that does."""
        ...

    async def backlog(self) -> Backlog:
        """What waits."""
        ...


class Publisher(Protocol):
    """The broker, as far as it can be reached. Callbacks come on the event loop's thread, in the order of what they tell.

    on_up: what is published from now on is settled one by one, or on_down is called: what was not settled by then may
    or may not have arrived.
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
