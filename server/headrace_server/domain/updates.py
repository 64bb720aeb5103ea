"""The updates of a watch, in their order.

First the job as it stands, then its events and progress, at last that it has ended.
"""

from dataclasses import dataclass

from headrace_server.domain.event import Event
from headrace_server.domain.job import Progress
from headrace_server.domain.query import FullJob


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The job as it stands, first."""

    job: FullJob


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The watch is alive, and has reached this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The job has ended; nothing follows."""

    job: FullJob


Update = Snapshot | Event | Progress | Heartbeat | Finished
