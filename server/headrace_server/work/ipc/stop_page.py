"""Share a page of memory by which a child sees that its runs are to stop.

The child reads memory; that takes no system call and no frame.

Each slot's child shares one mapping with the server, which alone writes it. A run is named by its
*ticket*, a number that the pool gives once: a claim number is no name, for two jobs may both be at
claim 1.

    entry     8 bytes ticket │ 4 bytes length │ 4 bytes how often insisted │ up to 1,008 bytes of reason, UTF-8

The ticket is written last, as one aligned store, so whoever reads it finds the reason complete.

A ticket's entry is the remainder of its division by the number of entries. `pool.run_tracker` gives
tickets so that no two runs of a child have one entry, and the lowest ones are used again: of the
page the kernel keeps only what was touched.
"""

import mmap
import os

ENTRIES = 2048
"""Entries of a page: runs of one child that can be told apart, those included that wait for it."""

_WIDTH = 1024
_HEAD = 16
_WORDS = _WIDTH // 8
_ONCE = 1 << 32
REASON_MAX = _WIDTH - _HEAD
"""Bytes of a reason; the rest of a longer one is cut off."""


class StopPage:
    """One side's view of the page. The descriptor stays with the caller."""

    def __init__(self, memory: int) -> None:
        # As many entries as its maker gave it, who may be of another version.
        self._entries = os.fstat(memory).st_size // _WIDTH
        self._map = mmap.mmap(memory, self._entries * _WIDTH)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    @staticmethod
    def create() -> int:
        """A descriptor of a page of which no ticket is flagged. Tickets begin at 1."""
        memory = os.memfd_create("headrace-stop", os.MFD_CLOEXEC)
        os.ftruncate(memory, ENTRIES * _WIDTH)
        return memory

    def flag(self, ticket: int, reason: str) -> None:
        """Let the run of this ticket see that it is to stop."""
        text = reason.encode("utf-8", "replace")[:REASON_MAX]
        entry = ticket % self._entries
        start = entry * _WIDTH + _HEAD
        self._bytes[start : start + len(text)] = text
        self._words[entry * _WORDS + 1] = self.insisted(ticket) * _ONCE + len(text)
        self._words[entry * _WORDS] = ticket

    def flagged(self, ticket: int) -> bool:
        """Whether the run of this ticket is to stop."""
        return self._words[ticket % self._entries * _WORDS] == ticket

    def insist(self, ticket: int) -> None:
        """Let the run of this ticket, which is flagged, be interrupted once more."""
        self._words[ticket % self._entries * _WORDS + 1] += _ONCE

    def insisted(self, ticket: int) -> int:
        """How often that was asked for; 0 for a run that is not to stop."""
        return self._words[ticket % self._entries * _WORDS + 1] // _ONCE if self.flagged(ticket) else 0

    def reason(self, ticket: int) -> str:
        """Why; "" when it is not to stop."""
        if not self.flagged(ticket):
            return ""
        entry = ticket % self._entries
        start = entry * _WIDTH + _HEAD
        text = self._bytes[start : start + self._words[entry * _WORDS + 1] % _ONCE]
        return text.tobytes().decode("utf-8", "ignore")  # it may have been cut inside a character

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._bytes.release()
        self._map.close()
