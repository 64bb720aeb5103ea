"""The checker itself: what it lets pass, and what it must not."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from headrace.info import (
    ErrorKind,
    EventKind,
    JobEvent,
    JobFailure,
    JobStatus,
    StatusChange,
    StopChange,
    StopPhase,
)
from support import history

LOST = JobFailure(kind=ErrorKind.INSTANCE_LOST, code="", type="", message="lost", step="", traceback="")
EXCEPTION = JobFailure(kind=ErrorKind.EXCEPTION, code="", type="", message="x", step="", traceback="")
WHOLE = ["QUEUED 0", "TO_BE_RUN 0", "RUNNING 1", "SUCCEEDED 1"]


def story(steps: Sequence[str]) -> Iterator[JobEvent]:
    """Events from words: "STATUS ATTEMPT", with "lost" behind; "stop PHASE"; "said"; "updated"."""
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
            job_id="j", tenant="", type="t", revision=revision, event_time=None, attempt=attempt,
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
    history.check(story(steps))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["QUEUED 0", "RUNNING 1"], "no move leads from QUEUED to RUNNING"),
        ([*WHOLE, "FAILED 1 lost"], "after the end"),
        ([*WHOLE, "said"], "after the end"),
        (["QUEUED 0", "TO_BE_RUN 0", "RUNNING 2"], "attempt 2 after 0"),
        ([*WHOLE[:3], "QUEUED 0 lost"], "attempt 0 after 1"),
        ([*WHOLE[:2], "said"], "MESSAGE_LOGGED while TO_BE_RUN"),
        ([*WHOLE[:3], "stop REQUESTED", "QUEUED 1 lost"], "although a stop was asked for"),
        ([*WHOLE[:3], "stop REQUESTED", "ABORTED 1"], "ended while the stop was REQUESTED"),
        ([*WHOLE[:3], "stop DELIVERED"], "the stop began with DELIVERED"),
        ([*WHOLE[:3], "stop REQUESTED", "stop KILLING", "stop DELIVERED"], "stop DELIVERED after KILLING"),
        (["QUEUED 0", "stop REQUESTED", "stop KILLING"], "KILLING while QUEUED"),
        ([*WHOLE[:3], "FAILED 1"], "FAILED without an error"),
    ],
)
def test_histories_that_may_not_be(steps: list[str], said: str) -> None:
    """Each break of a rule is caught, and said."""
    with pytest.raises(AssertionError, match=said):
        history.check(story(steps))


def test_lost_event() -> None:
    """A gap between revisions is caught, and so is an event that came twice."""
    events = list(story(WHOLE))
    with pytest.raises(AssertionError, match="revision 3 follows 1"):
        history.check(events[:1] + events[2:])
    with pytest.raises(AssertionError, match="revision 2 follows 2"):
        history.check([*events[:2], *events[1:]])


def test_code_that_ran_twice() -> None:
    """Code that ran twice with one attempt, without a permit, or not at all is caught."""
    whole = {"j": list(story([*WHOLE[:3], "said", WHOLE[3]]))}
    history.check_runs(["start j 1", "end j 1"], whole)
    for lines, said in (
        (["start j 1", "start j 1"], "written 2 times"),
        (["start j 1", "start j 2"], "without a permit"),
        (["end j 1"], "without a start"),
        ([], "never began"),
    ):
        with pytest.raises(AssertionError, match=said):
            history.check_runs(lines, whole)
