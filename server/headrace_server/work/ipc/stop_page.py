"""Share a page of memory by which a child sees that its run is to stop.

The child reads memory; that takes no system call and no frame.

Each slot's child shares one mapping with the server, which alone writes it. A run is named by its
*ticket*, a number that the pool gives once: a claim number is no name, for two jobs may both be at
claim 1.

    entry (ticket modulo 16)     8 bytes ticket │ 8 bytes length │ up to 1,008 bytes of reason, UTF-8

The ticket is written last, as one aligned store, so whoever reads it finds the reason complete.
There are several entries because the server may flag a run that has ended without its knowing, and
the next one too.
"""

import mmap
import os

_ENTRIES = 16
_WIDTH = 1024
_HEAD = 16
_WORDS = _WIDTH // 8
REASON_MAX = _WIDTH - _HEAD
"""Bytes of a reason; the rest of a longer one is cut off."""


class StopPage:
    """One side's view of the page. The descriptor stays with the caller."""

    def __init__(self, memory: int) -> None:
        self._map = mmap.mmap(memory, _ENTRIES * _WIDTH)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    @staticmethod
    def create() -> int:
        """A descriptor of a page of which no ticket is flagged. Tickets begin at 1."""
        memory = os.memfd_create("headrace-stop", os.MFD_CLOEXEC)
        os.ftruncate(memory, _ENTRIES * _WIDTH)
        return memory

    def flag(self, ticket: int, reason: str) -> None:
        """Let the run of this ticket see that it is to stop."""
        text = reason.encode("utf-8", "replace")[:REASON_MAX]
        entry = ticket % _ENTRIES
        start = entry * _WIDTH + _HEAD
        self._bytes[start : start + len(text)] = text
        self._words[entry * _WORDS + 1] = len(text)
        self._words[entry * _WORDS] = ticket

    def flagged(self, ticket: int) -> bool:
        """Whether the run of this ticket is to stop."""
        return self._words[ticket % _ENTRIES * _WORDS] == ticket

    def reason(self, ticket: int) -> str:
        """Why; "" when it is not to stop."""
        if not self.flagged(ticket):
            return ""
        entry = ticket % _ENTRIES
        start = entry * _WIDTH + _HEAD
        text = self._bytes[start : start + self._words[entry * _WORDS + 1]]
        return text.tobytes().decode("utf-8", "ignore")  # it may have been cut inside a character

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._bytes.release()
        self._map.close()
