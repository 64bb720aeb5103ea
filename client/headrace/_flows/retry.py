"""When to try again after a failure, and when to give up: decisions only, no waiting.

Attempts    one unary call. Repeated within the call's deadline where the server said when (RetryInfo), and where it
            is away: it restarts. Every method may be repeated, submit because it carries a
            request_id.
Reconnect   a watch or a wait. Goes on through lost connections with growing, jittered waits.

A server that is away is looked for every half second at most, so that who follows a job goes on
within a second of its being there again. One that answers, but cannot serve, is asked less and less
often: callers are many, and it is busy.
"""

import random
import time
from collections.abc import Callable

from headrace.errors import Cancelled, DeadlineExceeded, HeadraceError, InternalError, Overloaded, Unavailable

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
LONGEST_AWAY_DELAY = 0.5
"""The longest delay, in seconds, while no server answers.

Such an attempt costs no server anything.
"""
OPEN_ATTEMPTS = 5
"""How often a call is tried where nobody has ever been there: for a good second."""

_LEAVING = "DRAINING"
"""The reason of a server that is about to be away."""
_RESET = ("rst_stream", "stream removed", "goaway", "socket closed", "connection reset", "broken pipe")
"""The phrases of gRPC, in lower case, for a connection that ended under a stream."""

Clock = Callable[[], float]


class Deadline:
    """The time that is left of what the caller allowed; None: no limit. Seconds."""

    def __init__(self, timeout: float | None, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._end = None if timeout is None else clock() + timeout

    def remaining(self) -> float | None:
        """Returns the seconds that are left, never negative; None if there is no limit."""
        return None if self._end is None else max(self._end - self._clock(), 0.0)

    def allows(self, delay: float) -> bool:
        """Whether there is time left after a delay."""
        remaining = self.remaining()
        return remaining is None or delay < remaining


class Attempts:
    """The attempts of one unary call."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._last: HeadraceError | None = None
        self._failures = 0

    def failed(self, error: HeadraceError, *, known: bool) -> float:
        """The wait before the next attempt, in seconds. Raises the error when there is to be none.

        known: whether this client has ever seen its server. When the time is over within a
        repetition, that is not why the call failed: the last answer says why.
        """
        if isinstance(error, DeadlineExceeded) and self._last is not None:
            raise self._last
        self._last = error
        self._failures += 1
        if error.retry_after is None and (
            not resumable(error) or not (known or self._failures < OPEN_ATTEMPTS)
        ):
            raise error
        delay = _delay(error, self._failures)
        if not self._deadline.allows(delay):
            raise error
        return delay


class Reconnect:
    """The attempts to follow one job.

    patience: how long it may go on without its server, in seconds; None: for ever.
    """

    def __init__(
        self,
        deadline: Deadline,
        patience: float | None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._deadline = deadline
        self._patience = patience
        self._clock = clock
        self._failures = 0
        self._lost_at = 0.0

    def heard(self) -> None:
        """The server gave a sign of life: waits begin short again."""
        self._failures = 0

    def failed(self, error: HeadraceError, *, known: bool) -> float:
        """The wait before the next attempt, in seconds. Raises the error when there is to be none.

        known: whether this client has ever seen its server. A restart is waited for, a wrong
        address is not.
        """
        self._failures += 1
        if self._failures == 1:
            self._lost_at = self._clock()
        delay = _delay(error, self._failures)
        if not resumable(error) or self._given_up(delay, known=known) or not self._deadline.allows(delay):
            raise error
        return delay

    def _given_up(self, delay: float, *, known: bool) -> bool:
        if not known:
            return self._failures >= OPEN_ATTEMPTS
        return self._patience is not None and self._clock() + delay - self._lost_at > self._patience


def resumable(error: HeadraceError) -> bool:
    """Returns whether following a job goes on after this error.

    It does if the server is away, is full for now, or cut the stream off.
    """
    if isinstance(error, Unavailable):
        return True
    if isinstance(error, Overloaded):
        return error.retry_after is not None
    if error.reason or not error.code:
        return False  # Headrace itself said so, or this client did: final
    if isinstance(error, Cancelled):
        return True  # not by this side: a server that opens too many streams at once cancels some
    return isinstance(error, InternalError) and any(sign in error.message.lower() for sign in _RESET)


def _delay(error: HeadraceError, failures: int) -> float:
    """Returns the delay in seconds after this many failures in a row.

    It is never shorter than the server asked for.
    """
    longest = LONGEST_DELAY if error.reason and error.reason != _LEAVING else LONGEST_AWAY_DELAY
    delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 10), longest) * random.uniform(0.5, 1)
    return max(delay, _spread(error.retry_after or 0.0))


def _spread(delay: float) -> float:
    """Returns a random delay between the given one and one and a half times as long.

    Callers that were turned away together then do not all come back together.
    """
    return delay * random.uniform(1, 1.5)
