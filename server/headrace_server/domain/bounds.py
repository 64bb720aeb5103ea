"""The bounds of counts and times that the contract's messages can carry.

Code that computes such a value and code that shows one use the same bounds.
"""

from typing import Final

COUNT_MAX: Final = 2**63 - 1
"""An int64."""
SECOND: Final = 1_000_000
DAY: Final = 24 * 3600 * SECOND
TIME_MIN: Final = -62_135_596_800 * SECOND
"""The first moment of year 1."""
TIME_MAX: Final = 253_402_300_800 * SECOND - 1
"""The last of year 9999."""
DURATION_MAX: Final = 315_576_000_000 * SECOND
"""10,000 years."""


def time_or_none(micros: int) -> int | None:
    """A time that was computed; None where no calendar has it."""
    return micros if TIME_MIN <= micros <= TIME_MAX else None


def latest(micros: int) -> int:
    """A time that was computed, or the last that there is."""
    return min(micros, TIME_MAX)
