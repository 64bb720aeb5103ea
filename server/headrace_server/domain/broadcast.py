"""Broadcasts: events on their way to outside listeners, and what is needed to deliver them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from headrace_server.domain.event import Event, EventKind

DEFAULT_KINDS = frozenset({EventKind.CREATED, EventKind.STATUS_CHANGED})
"""The event kinds that are broadcast by default."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An event that is to be broadcast.

    previous: the revision of the job's last event before it that is of a broadcast kind, 0 for
    none: who knows an older one has missed something. place: where it stands in the outbox. parked:
    no queue had wanted the job's events when they were last published. traceparent: the trace that
    the job belongs to. payload: the JSON text of a dict of plain values, the job's parameters with
    its creation and its results with its end; None where it is not to be sent, or too large.
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
    """The outcome of publishing a broadcast."""

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
    """A page of the outbox: all broadcasts of its jobs, in order within each job.

    `end` is the last place of the page, or None when the page is empty.
    """

    broadcasts: Sequence[Broadcast]
    end: int | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The amount of work that waits in the outbox.

    `at_least` says that there is more than was counted. `oldest` is the time of the oldest entry,
    or None when the outbox is empty.
    """

    pending: int
    parked: int
    at_least: bool
    oldest: int | None
