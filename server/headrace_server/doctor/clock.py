"""The clock: jobs are due by it, and their history is told by it."""

import time
from collections.abc import Iterator
from typing import Final

from headrace_server.doctor.finding import Finding, ok, problem, warning

EARLIEST: Final = 1_767_225_600.0
"""2026-01-01: this program is younger."""
LATEST: Final = 4_102_444_800.0
"""2100-01-01."""

_SPAN = 0.2
_DRIFT_MAX = 0.05
"""Seconds within _SPAN: a clock that is slewed gains some 0.0001."""


def look() -> Iterator[Finding]:
    """Read both clocks twice, a moment apart."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(_SPAN)
    yield assess(time.time(), (time.time() - wall) - (time.monotonic() - steady))


def assess(now: float, drift: float) -> Finding:
    """Judge the time of the clock, and its drift between two readings.

    `drift` is how many seconds it went ahead of the steady clock.
    """
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if not EARLIEST <= now < LATEST:
        return problem(
            "clock", f"It says {shown}: set it, for jobs are due and leases of time are told by it."
        )
    if abs(drift) > _DRIFT_MAX:
        return warning(
            "clock",
            f"It was moved by {drift:+.2f} s while it was looked at: let one program alone set it.",
        )
    return ok("clock", f"It says {shown} and goes evenly.")
