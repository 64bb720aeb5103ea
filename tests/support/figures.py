"""How much a test that breaks things does: a short form in `make test-deep`, a long one in
`make test-chaos`.

    figure(500, 2000)    how many: the short form's number, or the long form's
    guard(2)             seconds: five times the promise in the short form, the promise itself in the long form
    seed()               what a run's random choices grow from; HEADRACE_SEED=… repeats a run

HEADRACE_LONG=1 chooses the long form.
"""

import os
import random
from typing import TypeVar

Number = TypeVar("Number", int, float)

LONG = os.environ.get("HEADRACE_LONG", "") not in ("", "0")
SLACK = 5
"""A loaded machine is slow: in CI a bound is there to notice a hang, in the long form it is the
promise.
"""


def figure(short: Number, long: Number) -> Number:
    """The number of the form that runs."""
    return long if LONG else short


def guard(seconds: float) -> float:
    """How long a test waits for what was promised within so many seconds."""
    return seconds if LONG else SLACK * seconds


def seed() -> int:
    """The seed of this run, printed: pytest shows it with a failure."""
    chosen = int(os.environ.get("HEADRACE_SEED") or random.randrange(10**9))
    print(f"HEADRACE_SEED={chosen}")
    return chosen
