"""The product with a publisher that breaks a promise: what the judge of broadcasts must find.

    python -m support.broadcast_bugs ConfirmsFirst serve

Each class is a bug that the design forbids, planted as app.py plugs parts in. Nothing else differs.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headrace_server.amqp.broker import Broker
from headrace_server.app import App
from headrace_server.domain.broadcast import Broadcast, Disposition
from headrace_server.domain.event import EventKind
from support.phases import serve
from support.server import Server

LATE_SECONDS = 0.5


class Planted(Server):
    """A server with a bug."""

    def __init__(self, folder: Path, bug: str, **settings: object) -> None:
        super().__init__(folder, command=(sys.executable, "-m", "support.broadcast_bugs", bug), **settings)


# What runs in the server


class ConfirmsFirst(Broker):
    """An event leaves the outbox when it is sent, not when the broker has it."""

    def publish(self, broadcasts: Sequence[Broadcast]) -> None:
        """Send these, and tell that they have arrived."""
        super().publish(broadcasts)
        self._loop.call_soon(self.on_settled, [(one, Disposition.CONFIRMED) for one in broadcasts])


class Overtakes(Broker):
    """The second event of a job is sent before the first has arrived."""

    def publish(self, broadcasts: Sequence[Broadcast]) -> None:
        """Send these, the first of a job later than the next of it."""
        first = [one for one in broadcasts if one.event.kind is EventKind.CREATED]
        super().publish([one for one in broadcasts if one not in first])
        if first:
            asyncio.get_running_loop().call_later(LATE_SECONDS, super().publish, first)
            self._loop.call_soon(self.on_settled, [(one, Disposition.CONFIRMED) for one in first])


class CountsUp(Broker):
    """The event before is taken for the one with the revision before."""

    def publish(self, broadcasts: Sequence[Broadcast]) -> None:
        """Send these with another chain."""
        super().publish([replace(one, previous=one.event.revision - 1) for one in broadcasts])


BUGS = {bug.__name__: bug for bug in (ConfirmsFirst, Overtakes, CountsUp)}

if __name__ == "__main__":
    App.make_broker = BUGS[sys.argv.pop(1)]
    serve()
