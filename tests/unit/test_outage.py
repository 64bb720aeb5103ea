"""A trouble that lasts: its cause is in the log, and does not fill it."""

import logging

import pytest

from headrace_server.domain.outage import CAUSES_MAX, Outage

log = logging.getLogger(__name__)


class Stopwatch:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        """Its time."""
        return self.now


@pytest.fixture
def time() -> Stopwatch:
    """The time that passes."""
    return Stopwatch()


@pytest.fixture
def outage(time: Stopwatch, caplog: pytest.LogCaptureFixture) -> Outage:
    """One that is told once in a minute."""
    caplog.set_level(logging.INFO)
    return Outage(log, "It cannot be written", "It is written again", seconds=60, clock=time)


def test_a_cause_is_one_line_in_a_while(
    outage: Outage, time: Stopwatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first time at once, with its fields; then one line in a minute, which counts the others."""
    for _ in range(1000):
        outage.met("full", job_id="j")
    assert caplog.messages == ["It cannot be written: full"]
    assert vars(caplog.records[0])["job_id"] == "j"
    time.now = 60
    for _ in range(10):
        outage.met("full")
    assert caplog.messages[1:] == ["It cannot be written, 999 more: full"]


def test_another_cause_is_a_line_of_its_own(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """However they alternate, each of two causes is told once."""
    for _ in range(100):
        outage.met("full")
        outage.met("locked")
    assert caplog.messages == ["It cannot be written: full", "It cannot be written: locked"]


def test_the_end_is_told_once(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """It follows a warning and nothing else: one that comes and goes does not fill the log either."""
    outage.over()
    for _ in range(100):
        outage.met("full")
        outage.over()
    assert caplog.messages == ["It cannot be written: full", "It is written again"]


def test_causes_without_end_are_not_kept(outage: Outage) -> None:
    """What is remembered of causes is bounded."""
    for number in range(10 * CAUSES_MAX):
        outage.met(number)
    assert len(outage._causes) <= CAUSES_MAX
