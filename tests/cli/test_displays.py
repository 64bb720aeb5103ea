"""The displays of a followed job: what is said, and how often."""

from datetime import UTC, datetime

import pytest

from headrace.cli.bar import Bar
from headrace.cli.plain import Lines
from headrace.cli.rate import Rate
from headrace.cli.text import progress_text
from headrace.info import EventKind, JobEvent, JobStatus, Progress, StatusChange


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


def status_change(to: str, attempt: int) -> JobEvent:
    """The event that a job has another status."""
    return JobEvent(
        job_id="j1",
        tenant="t",
        type="demo",
        revision=3,
        event_time=datetime.now(UTC),
        attempt=attempt,
        status=JobStatus(to),
        final=False,
        kind=EventKind.STATUS_CHANGED,
        detail=StatusChange(JobStatus.TO_BE_RUN, JobStatus(to)),
        payload=None,
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


def test_a_new_attempt_begins_the_rate_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """The pause between two attempts is in no rate, even where the second goes on from where the
    first had come to.
    """
    clock = Clock()
    lines = Lines(clock)
    for clock.now, done in ((0, 1), (1, 101)):
        lines.progress(at(done))
    assert "100/s" in capsys.readouterr().err
    clock.now = 9
    lines.event(status_change("RUNNING", attempt=2))
    for clock.now, done in ((9.0, 101), (10.0, 201)):
        lines.progress(at(done))
    assert "100/s" in capsys.readouterr().err.splitlines()[-1]
    bar = Bar()
    bar.progress(at(500))
    bar.event(status_change("RUNNING", attempt=2))
    assert bar.shown() == (0, "")


@pytest.mark.parametrize(("total", "text"), [(1000, "250/1000 (25 %)"), (None, "250")])
def test_progress_is_text_for_people(total: int | None, text: str) -> None:
    """print(progress) works for a job without a total too."""
    assert str(at(250, total)) == text
