"""The checker itself, on histories made by hand: what it lets pass, and what it must not."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.info import (
    ErrorKind,
    EventKind,
    JobError,
    JobEvent,
    JobStatus,
    StatusChange,
    StopChange,
    StopPhase,
)
from support import history
from support.checker import check_runs
from support.checker_journal import Mark
from support.checker_runs import run_problems
from support.history import Invariant

LOST = JobError(kind=ErrorKind.INSTANCE_LOST, code="", type="", message="lost", step="", traceback="")
EXCEPTION = JobError(kind=ErrorKind.EXCEPTION, code="", type="", message="x", step="", traceback="")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = ["QUEUED 0", "TO_BE_RUN 0", "RUNNING 1", "SUCCEEDED 1"]


def story(steps: Sequence[str]) -> Iterator[JobEvent]:
    """Events, a second apart, from words: "STATUS ATTEMPT", with "lost" behind; "stop PHASE";
    "said"; "updated".
    """
    status, attempt = "", 0
    for revision, step in enumerate(steps, 1):
        word, *rest = step.split()
        detail: Any = None
        match word:
            case "stop":
                kind, detail = EventKind.STOP_CHANGED, StopChange(StopPhase(rest[0]))
            case "said":
                kind = EventKind.MESSAGE_LOGGED
            case "updated":
                kind = EventKind.UPDATED
            case _ if not status:
                kind, status = EventKind.CREATED, word
            case _:
                error = {"lost": LOST, "raised": EXCEPTION}.get(rest[-1])
                kind, detail = (
                    EventKind.STATUS_CHANGED,
                    StatusChange(JobStatus(status), JobStatus(word), error),
                )
                status, attempt = word, int(rest[0])
        yield JobEvent(
            job_id="j", tenant="", type="t", revision=revision, event_time=BEGIN + timedelta(seconds=revision), attempt=attempt,
            status=JobStatus(status), final=status in history.FINAL, kind=kind, detail=detail,
        )  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        WHOLE,
        ["PENDING 0", "stop REQUESTED", "stop ENDED", "ABORTED 0", "updated"],
        ["QUEUED 0", "TO_BE_RUN 0", "QUEUED 0", *WHOLE[1:]],
        ["QUEUED 0", "TO_BE_RUN 0", "RUNNING 1", "QUEUED 0", *WHOLE[1:]],
        [*WHOLE[:3], "said", "QUEUED 1 lost", "TO_BE_RUN 1", "RUNNING 2", "SUCCEEDED 2"],
        [*WHOLE[:3], "stop REQUESTED", "stop DELIVERED", "stop KILLING", "stop ENDED", "ABORTED 1"],
    ],
)
def test_histories_that_may_be(steps: list[str]) -> None:
    """Legal histories pass: a whole one, stops, a claim and a permit given back, a second attempt."""
    assert history.problems(story(steps)) == []


@pytest.mark.parametrize(
    ("steps", "invariant", "said"),
    [
        (["QUEUED 0", "RUNNING 1"], "I3", "no move leads from QUEUED to RUNNING"),
        ([*WHOLE, "FAILED 1 lost"], "I2", "after the end"),
        ([*WHOLE, "said"], "I2", "after the end"),
        (["QUEUED 0", "TO_BE_RUN 0", "RUNNING 2"], "I5", "attempt 2 by"),
        ([*WHOLE[:3], "QUEUED 0 lost"], "I5", "attempt 0 by"),
        ([*WHOLE[:2], "said"], "I3", "MESSAGE_LOGGED while TO_BE_RUN"),
        ([*WHOLE[:3], "stop REQUESTED", "QUEUED 1 lost"], "I3", "although a stop was asked for"),
        ([*WHOLE[:3], "stop REQUESTED", "ABORTED 1"], "I3", "ended while the stop was REQUESTED"),
        ([*WHOLE[:3], "stop DELIVERED"], "I3", "the stop began with DELIVERED"),
        ([*WHOLE[:3], "stop REQUESTED", "stop KILLING", "stop DELIVERED"], "I3", "DELIVERED after KILLING"),
        (["QUEUED 0", "stop REQUESTED", "stop KILLING"], "I3", "KILLING while QUEUED"),
        ([*WHOLE[:3], "FAILED 1"], "I3", "FAILED without an error"),
        ([], "I4", "a job without events"),
    ],
)
def test_histories_that_may_not_be(steps: list[str], invariant: str, said: str) -> None:
    """Each break of a rule is caught, as the invariant that it breaks and as no other."""
    ((broken, sentence),) = history.problems(story(steps))
    assert broken.name == invariant
    assert said in sentence


def test_lost_event() -> None:
    """A gap between revisions is caught, and so is an event that came twice; what follows is no
    second fault.
    """
    events = list(story(WHOLE))
    assert history.problems(events[:1] + events[2:]) == [(Invariant.I4, "revision 3 follows 1")]
    assert history.problems(events[1:]) == [(Invariant.I4, "revision 2 follows 0")]
    assert (Invariant.I4, "revision 2 follows 2") in history.problems([*events[:2], *events[1:]])


def mark(words: str) -> Mark:
    """A line of the side file from words: "start ATTEMPT SECOND", with "beside" behind."""
    verb, attempt, second, *beside = words.split()
    return Mark(verb, "j", int(attempt), BEGIN + timedelta(seconds=float(second)), not beside)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["start 1 3.1", "end 1 3.9"], []),
        (["start 1 3.1"], ["I5 attempt 1 has the end of a run, and its code never came to its end"]),
        (["start 1 3.1", "start 1 3.2", "end 1 3.9"], ["I5 start of attempt 1 was written 2 times"]),
        (["start 1 3.1", "end 1 3.9", "start 2 3.2"], ["I5 without a permit"]),
        (["end 1 3.5"], ["I5 ended without a start", "I5 attempt 1 never began"]),
        ([], ["I5 attempt 1 never began"]),
        (["start 1 2.9", "end 1 3.9"], ["I5 before its permit was on disk"]),
        (["start 1 3.1", "end 1 6.1"], ["I5 after the end of its attempt"]),
        (["start 1 3.1 beside", "end 1 3.9"], ["I5 while an earlier run of the job lived"]),
    ],
)
def test_code_that_may_not_be(lines: list[str], said: list[str]) -> None:
    """Code that ran twice, without a permit, before it, after its end, beside itself, in part or
    not at all is caught.
    """
    events = list(story([*WHOLE[:3], "said", WHOLE[3]]))
    found = [f"{name.name} {text}" for name, text in run_problems(events, [mark(line) for line in lines])]
    assert len(found) == len(said)
    for sentence, expected in zip(found, said, strict=True):
        assert sentence.startswith(expected[:2])
        assert expected[3:] in sentence


@pytest.mark.parametrize(
    ("lines", "end", "said"),
    [
        (["start 1 3.1", "end 1 3.9", "start 2 6.1", "end 2 6.9"], "SUCCEEDED 2", []),
        (["start 1 3.1", "start 2 6.1", "end 2 6.9"], "SUCCEEDED 2", []),
        (["start 1 3.1", "end 1 3.9", "start 2 6.1"], "SUCCEEDED 2", ["attempt 2 has the end of a run"]),
        (["start 1 3.1", "end 1 3.9", "start 2 6.1"], "FAILED 2 raised", ["attempt 2 has the end of a run"]),
        (["start 1 3.1", "end 1 3.9", "start 2 6.1"], "FAILED 2 lost", []),
        (["start 1 3.1", "end 1 3.9", "start 2 6.1"], "ABORTED 2", []),
    ],
)
def test_attempt_that_another_ended(lines: list[str], end: str, said: list[str]) -> None:
    """An attempt that has the end of a run whose code never came there is caught; one that was lost
    or stopped needs no end.
    """
    stop = ["stop REQUESTED", "stop ENDED"] if end.startswith("ABORTED") else []
    steps = [*WHOLE[:3], "QUEUED 1 lost", "TO_BE_RUN 1", "RUNNING 2", *stop, end]
    found = list(run_problems(list(story(steps)), [mark(line) for line in lines]))
    assert [name for name, _ in found] == [Invariant.I5] * len(said)
    for (_, sentence), expected in zip(found, said, strict=True):
        assert expected in sentence


def test_lines_of_a_side_file() -> None:
    """Lines are read as the jobs write them; those that no history explains raise, with the
    invariant.
    """
    begun = int((BEGIN + timedelta(seconds=3.5)).timestamp() * 1_000_000)
    line = f"start j 1 {begun} alone"
    whole = {"j": list(story(WHOLE))}
    check_runs([line, f"end j 1 {begun}"], whole)
    with pytest.raises(AssertionError, match="I5 start of attempt 1 was written 2 times"):
        check_runs([line, line], whole)
    with pytest.raises(AssertionError, match="has no history"):
        check_runs([line], {})
