"""Compare the types that workers have loaded with those of the server, and report differences.

Workers that load anew mend them.

A worker whose modules do not load as they did for the server (a half-copied deployment, a library
that is gone, a signature that has changed since) gets runs of the types that it has as the server
has them, and no others. A difference makes the loader look again, which may find that it is the
server that is behind. A worker that differs is replaced: after a wait that doubles from 1 to 30 s,
and as soon as the loader has found a change; so a repair on the disk is noticed.

A quarter of the workers at a time are replaced, one at least, those with nothing to do first: the
others go on with what they have. A place is held for 10 s at most, because a run, or an import, may
take long.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from headrace_server.work.catalog.registry import Registry
from headrace_server.work.executor import Types

log = logging.getLogger(__name__)

RENEW_FIRST, RENEW_MAX = 1.0, 30.0
_SHARE: Final = 4
_PLACE_SECONDS: Final = 10.0


class Slots(Protocol):
    """The slots of the pool, as `SlotTable` has them."""

    def idle(self, slot: str) -> bool:
        """Whether the slot's child is up and has nothing to do."""
        ...

    def limit(self, slot: str, types: frozenset[str]) -> None:
        """From now on give the slot's child runs of these types only."""
        ...

    def renew(self, slot: str, since: float) -> None:
        """Have the child of a slot replaced by one that was started later."""
        ...


class WorkerTypes:
    """A record of what each slot has loaded.

    `look_again` is called when the modules on the disk seem to be others than those of the server.
    """

    def __init__(self, registry: Registry, look_again: Callable[[], None]) -> None:
        self._registry = registry
        self._look_again = look_again
        self._slots: Slots | None = None
        self._told: dict[str, str] = {}
        self._waits: dict[str, float] = {}
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._queue: dict[str, float] = {}
        """Those that are to be replaced, each by one that was started later than this."""
        self._places: dict[str, asyncio.TimerHandle] = {}

    def attach(self, slots: Slots) -> None:
        """These are the slots."""
        self._slots = slots

    def heard(self, slot: str, types: Types, errors: Mapping[str, str]) -> frozenset[str]:
        """Record what a slot's child has loaded, and return the types that it may be given.

        The child is up; `errors` says by module why it has not loaded all.
        """
        self._registry.hear(slot, types, errors)
        self._tell(slot)
        if self._registry.behind(slot):
            wait = self._waits[slot] = min(RENEW_MAX, self._waits.get(slot, RENEW_FIRST / 2) * 2)
            self._renew_in(slot, wait)
        else:
            self._waits.pop(slot, None)
        self._free_place(slot)
        return self._registry.able(slot)

    def fell(self, slot: str) -> None:
        """Look again after a slot's child has ended while it loaded its modules.

        The loader sees whether one of the modules is the cause.
        """
        self._free_place(slot)
        self._look_again()

    def changed(self) -> None:
        """Have the workers that differ load anew.

        The server knows other types than before, or modules load now that did not.
        """
        for slot in self._registry.workers:
            if self._slots is not None:
                self._slots.limit(slot, self._registry.able(slot))
            if self._registry.behind(slot):
                self._waits.pop(slot, None)
                self._renew_in(slot, 0)
            self._tell_agreed(slot)

    def close(self) -> None:
        """Replace none any more."""
        self._queue.clear()
        for handles in (self._due, self._places):
            for handle in handles.values():
                handle.cancel()
            handles.clear()

    def _tell(self, slot: str) -> None:
        sentence = self._registry.difference(slot)
        if sentence and self._told.get(slot) != sentence:
            self._told[slot] = sentence
            log.error("%s", sentence, extra={"worker": slot})
            self._look_again()
        self._tell_agreed(slot)

    def _tell_agreed(self, slot: str) -> None:
        if slot in self._told and not self._registry.difference(slot):
            del self._told[slot]
            log.info("%s has loaded every type of this server now", slot, extra={"worker": slot})

    def _renew_in(self, slot: str, seconds: float) -> None:
        if slot in self._due:
            self._due[slot].cancel()
        self._due[slot] = asyncio.get_running_loop().call_later(seconds, self._enqueue, slot)

    def _enqueue(self, slot: str) -> None:
        del self._due[slot]
        self._queue[slot] = time.monotonic()
        self._renew_some()

    def _renew_some(self) -> None:
        most = max(1, len(self._registry.workers) // _SHARE)
        while self._slots is not None and self._queue and len(self._places) < most:
            slot = next(filter(self._slots.idle, self._queue), next(iter(self._queue)))
            since = self._queue.pop(slot)
            if self._registry.behind(slot):
                loop = asyncio.get_running_loop()
                self._places[slot] = loop.call_later(_PLACE_SECONDS, self._free_place, slot)
                self._slots.renew(slot, since)

    def _free_place(self, slot: str) -> None:
        if slot in self._places:
            self._places.pop(slot).cancel()
            self._renew_some()
