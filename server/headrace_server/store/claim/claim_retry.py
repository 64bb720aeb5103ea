"""The retry of a claim that left slots free because of limits, before the dispatcher's poll.

    busy   a gate was held by another claim         in some milliseconds
    full   no room under a gate, or for an owner    when a job elsewhere has ended or gone back to its queue

An instance makes room for itself when a run of its own ends: its slot is free then, and it claims.
That others have made room it only hears in the log, where most of what ends has nothing to do with
a limit. So it costs a claim only where the last one met a full gate.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Status
from headrace_server.store.claim.claims import Taken

BUSY_SECONDS: Final = (0.002, 0.01)
"""The shortest and longest wait, in seconds, before a claim that met a busy gate is retried.

A gate is busy while another claim holds it.
"""

_HELD: Final = (Status.TO_BE_RUN, Status.RUNNING)


class ClaimRetry:
    """The trigger of repeated claims, used on the event loop's thread.

    `claim` starts a claim.
    """

    def __init__(self, claim: Callable[[], None]) -> None:
        self._claim = claim
        self._full = False
        self._made = 0

    @property
    def made(self) -> int:
        """How often others have made room: noted before a claim, for `answered`."""
        return self._made

    def answered(self, taken: Taken, free: int, made: int) -> None:
        """A claim has left so many slots free; made: as it was when the claim was asked for."""
        self._full = taken.full and free > 0
        if taken.busy and free > 0:
            asyncio.get_running_loop().call_later(random.uniform(*BUSY_SECONDS), self._claim)
        elif self._full and self._made != made:
            self._claim()  # room that it may have been too early to see

    def overheard(self, events: Sequence[Event]) -> None:
        """Others have committed these."""
        if any(_lets_go(event) for event in events):
            self._made += 1
            if self._full:
                self._claim()


def _lets_go(event: Event) -> bool:
    """Whether an instance holds the job no more."""
    return (
        event.kind is EventKind.STATUS_CHANGED
        and event.status not in _HELD
        and event.body.get("from") in _HELD
    )
