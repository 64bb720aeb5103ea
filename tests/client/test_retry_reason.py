"""What a call is told when its time is over within a repetition."""

import pytest

from headrace._rpc.retry import Attempts, Deadline
from headrace.errors import DeadlineExceeded, Unavailable


def test_the_last_answer_says_why() -> None:
    """A call that was answered UNAVAILABLE and ran out of time while it was repeated is UNAVAILABLE, not DEADLINE_EXCEEDED."""
    attempts = Attempts(Deadline(60))
    full = Unavailable("The database cannot be written now: database or disk is full.", retry_after=1.0)
    late = DeadlineExceeded("The server had not answered.")
    with pytest.raises(DeadlineExceeded):
        attempts.failed(late)
    assert attempts.failed(full) >= 1.0
    with pytest.raises(Unavailable) as told:
        attempts.failed(late)
    assert told.value is full
