"""What the workers have loaded, beside what the server takes: told, and mended by workers that load anew.

A worker whose modules do not load as they did for the server (a half-copied deployment, a library that is gone) gets
runs of the types that it has, and no others. It is replaced when it is idle, after a wait that doubles from 1 to 30 s,
and at once when the loader has found a change: so a repair on the disk is noticed.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from headrace_server.work.registry import Registry

log = logging.getLogger(__name__)

RENEW_FIRST, RENEW_MAX = 1.0, 30.0
_BUSY: Final = 1.0
"""Seconds until a worker that was busy is looked at again."""


class Slots(Protocol):
    """The slots of the pool, as `Seating` has them."""

    def idle(self, slot: str) -> bool:
        """Whether the slot's child is up and has nothing to do."""
        ...

    def renew(self, slot: str) -> None:
        """Have the child of an idle slot replaced."""
        ...


class WorkerTypes:
    """Hears what each slot has loaded. look_again: the modules on the disk seem to be others than those of the server."""

    def __init__(self, registry: Registry, look_again: Callable[[], None]) -> None:
        self._registry = registry
        self._look_again = look_again
        self._slots: Slots | None = None
        self._told: dict[str, str] = {}
        self._waits: dict[str, float] = {}
        self._due: dict[str, asyncio.TimerHandle] = {}

    def attach(self, slots: Slots) -> None:
        """These are the slots."""
        self._slots = slots

    def heard(self, slot: str, types: frozenset[str], errors: Mapping[str, str]) -> None:
        """A slot's child is up, and has loaded these types; by module, why not all."""
        self._registry.hear(slot, types, errors)
        sentence = self._registry.difference(slot)
        if sentence and self._told.get(slot) != sentence:
            self._told[slot] = sentence
            log.error("%s", sentence, extra={"worker": slot})
            self._look_again()
        if self._registry.lacks(slot):
            wait = self._waits[slot] = min(RENEW_MAX, self._waits.get(slot, RENEW_FIRST / 2) * 2)
            self._renew_in(slot, wait)
        else:
            self._waits.pop(slot, None)
        if not sentence and self._told.pop(slot, ""):
            log.info("%s has loaded every type of this server now", slot, extra={"worker": slot})

    def fell(self) -> None:
        """A slot's child has ended while it loaded its modules: the loader sees whether it is one of them."""
        self._look_again()

    def changed(self) -> None:
        """The server knows other types than before, or modules load that did not: the workers that differ load anew."""
        for slot in self._registry.workers:
            if self._registry.lacks(slot):
                self._waits.pop(slot, None)
                self._renew_in(slot, 0)

    def close(self) -> None:
        """Replace none any more."""
        for handle in self._due.values():
            handle.cancel()
        self._due.clear()

    def _renew_in(self, slot: str, seconds: float) -> None:
        if slot in self._due:
            self._due[slot].cancel()
        self._due[slot] = asyncio.get_running_loop().call_later(seconds, self._renew, slot)

    def _renew(self, slot: str) -> None:
        del self._due[slot]
        if self._slots is None or not self._registry.lacks(slot):
            return
        if self._slots.idle(slot):
            self._slots.renew(slot)
        else:
            self._renew_in(slot, _BUSY)
