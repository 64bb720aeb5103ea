"""The policy by which failed attempts of a job are repeated.

Job authors and callers give it, and the server answers it.
"""

from dataclasses import dataclass
from datetime import timedelta

ATTEMPTS_MAX = 1000
MULTIPLIER_MAX = 1000
BACKOFF_MAX = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The policy by which failed attempts are repeated.

    The waits grow from initial_backoff by multiplier, up to max_backoff.

    max_attempts counts the starts of the job's code, 1 to 1000; 1 never repeats. multiplier is 1 to
    1000, a wait 0 to 365 days. Raises ValueError for a field that is out of its range, TypeError
    for one of another type.
    """

    max_attempts: int = 1
    initial_backoff: timedelta = timedelta(seconds=1)
    multiplier: float = 2.0
    max_backoff: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or isinstance(self.max_attempts, bool):
            raise TypeError(f"max_attempts is a whole number, not {self.max_attempts!r}")
        if not 1 <= self.max_attempts <= ATTEMPTS_MAX:
            raise ValueError(f"max_attempts is 1 to {ATTEMPTS_MAX}, not {self.max_attempts}")
        if not 1 <= self.multiplier <= MULTIPLIER_MAX:
            raise ValueError(f"multiplier is at least 1 and at most {MULTIPLIER_MAX}, not {self.multiplier}")
        for name in ("initial_backoff", "max_backoff"):
            _check_wait(name, getattr(self, name))


def _check_wait(name: str, wait: timedelta) -> None:
    if not isinstance(wait, timedelta):
        raise TypeError(f"{name} is a timedelta, not {wait!r}")
    if wait < timedelta(0):
        raise ValueError("initial_backoff and max_backoff are not negative")
    if wait > BACKOFF_MAX:
        raise ValueError(f"{name} is at most {BACKOFF_MAX.days} days, not {wait.days} days")
