"""What a call is told when its time is over within a repetition, and which failures are repeated at
all.
"""

import pytest

from headrace._flows.retry import Attempts, Deadline
from headrace.errors import DeadlineExceeded, Unavailable


def test_the_last_answer_says_why() -> None:
    """A call that was answered UNAVAILABLE and ran out of time while it was repeated is
    UNAVAILABLE, not DEADLINE_EXCEEDED.
    """
    attempts = Attempts(Deadline(60))
    full = Unavailable("The database cannot be written now: database or disk is full.", retry_after=1.0)
    late = DeadlineExceeded("The server had not answered.")
    with pytest.raises(DeadlineExceeded):
        attempts.failed(late, known=False)
    assert attempts.failed(full, known=False) >= 1.0
    with pytest.raises(Unavailable) as told:
        attempts.failed(late, known=False)
    assert told.value is full


AWAY = Unavailable("gone", code="UNAVAILABLE")


def test_only_a_server_that_was_there_is_waited_for() -> None:
    """Where nobody was ever seen the fifth failure is raised; else the wait goes on."""
    attempts, strange = Attempts(Deadline(60)), Attempts(Deadline(60))
    assert len([attempts.failed(AWAY, known=True) for _ in range(20)]) == 20
    for _ in range(4):
        strange.failed(AWAY, known=False)
    with pytest.raises(Unavailable):
        strange.failed(AWAY, known=False)


def test_a_server_that_is_away_is_looked_for_twice_a_second() -> None:
    """However long it has been away the waits stay below half a second; one that answers is given
    up to five.
    """
    away, busy = Attempts(Deadline(60)), Attempts(Deadline(60))
    assert all(away.failed(AWAY, known=True) <= 0.5 for _ in range(100))
    answered = Unavailable(
        "The database is away.", code="UNAVAILABLE", reason="STORE_UNAVAILABLE", retry_after=0
    )
    assert 2.5 <= [busy.failed(answered, known=True) for _ in range(20)][-1] <= 5
