"""The displays of a followed job: what is said, and how often."""

from datetime import UTC, datetime

import pytest

from headrace.cli.lines import Lines
from headrace.cli.rate import Rate
from headrace.cli.wording import progress_text
from headrace.info import Progress


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        """The time that was set."""
        return self.now


def at(done: int, total: int | None = 1000) -> Progress:
    """Progress of so many ticks."""
    return Progress(
        done=done,
        total=total,
        percent=None if total is None else 100 * done / total,
        message="",
        update_time=datetime.now(UTC),
        estimated_end_time=None,
    )


def test_lines_of_progress_are_thinned_out(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe progress is said at first, and then after a second or ten percent."""
    clock = Clock()
    lines = Lines(clock)
    for clock.now, done in ((0, 1), (0.1, 2), (0.9, 3), (1.0, 4), (1.1, 5), (1.2, 104), (1.3, 110)):
        lines.progress(at(done))
    said = [line.split("(")[1].split("/")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["1", "4", "104"]


def test_the_rate_looks_back_some_seconds() -> None:
    """Rate and time left come from the last seconds, and begin anew with a new attempt."""
    clock = Clock()
    rate = Rate(clock)
    for second in range(20):
        clock.now = second
        rate.add(at(second * (10 if second < 10 else 20)))
    assert rate.per_second is not None
    assert rate.per_second > 15
    assert progress_text(at(500), rate).startswith("50 % (500/1000) ")
    assert progress_text(at(500), rate).endswith(" left")
    rate.add(at(0))
    assert rate.per_second is None


def test_progress_without_a_total() -> None:
    """Ticks without a total have no percent and no time left."""
    assert progress_text(at(7, None), Rate()) == "(7)"
