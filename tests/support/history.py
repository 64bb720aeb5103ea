"""The checker of histories: what must be true of every job, whatever was killed meanwhile.

    check(events)              revisions, moves, attempts, phases of a stop: against the table of docs/state_machine.md
    check_job(client, id)      the same, and the job as it stands agrees with its history
    check_watch(updates, …)    what a watcher was shown is the history: nothing lost, nothing twice
    check_runs(lines, …)       what the jobs' code wrote to its file agrees with the histories

Each raises AssertionError with a sentence.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from headrace import Client
from headrace.info import (
    ErrorKind,
    EventKind,
    Finished,
    JobEvent,
    JobInfo,
    JobStatus,
    Snapshot,
    StatusChange,
    StopChange,
    StopPhase,
)

NOTHING = "\N{EN DASH}"
TABLE = Path(__file__).parents[2] / "docs/state_machine.md"
FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.ABORTED})
PHASES = list(StopPhase)
ONLY_RUNNING = frozenset({EventKind.MESSAGE_LOGGED, EventKind.MESSAGES_DROPPED, EventKind.RESULT_SET})
ONLY_RUNNING_PHASES = frozenset({StopPhase.DELIVERED, StopPhase.TERMINATING, StopPhase.KILLING})


@cache
def moves() -> frozenset[tuple[str, str]]:
    """The legal moves, as the document's first table has them; NOTHING is no job yet."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", TABLE.read_text(), re.MULTILINE)
    return frozenset(
        (start, end)
        for starts, ends in rows
        for start in starts.split(", ")
        for end in ends.split(" / ")
        if start != "from" and not start.startswith("-")
    )


class _Walk:
    """A history walked through, event by event."""

    def __init__(self) -> None:
        self.revision = 0
        self.status = NOTHING
        self.attempt = 0
        self.phase: StopPhase | None = None

    def step(self, event: JobEvent) -> None:
        """Go on by one event, or raise."""
        assert event.revision == self.revision + 1, f"revision {event.revision} follows {self.revision}"
        assert event.final == (event.status in FINAL), f"final is {event.final} in {event.status}"
        assert self.status not in FINAL or event.kind == EventKind.UPDATED, f"{event.kind} after the end"
        match event.detail:
            case StatusChange():
                self._move(event, event.detail)
            case StopChange():
                self._stay(event)
                self._stop(event.detail.phase)
            case _ if event.kind == EventKind.CREATED:
                assert (NOTHING, event.status) in moves(), f"created as {event.status}"
                assert event.attempt == 0, "created in an attempt"
            case _:
                self._stay(event)
                assert self.status == "RUNNING" or event.kind not in ONLY_RUNNING, (
                    f"{event.kind} while {self.status}"
                )
        self.revision, self.status, self.attempt = event.revision, str(event.status), event.attempt

    def _stay(self, event: JobEvent) -> None:
        assert self.status == event.status, f"{event.kind} moved the job from {self.status} to {event.status}"
        assert self.attempt == event.attempt, f"{event.kind} moved the attempt"

    def _move(self, event: JobEvent, change: StatusChange) -> None:
        move = (str(change.from_status), str(change.to_status))
        assert move in moves(), f"no move leads from {move[0]} to {move[1]}"
        assert move == (self.status, event.status), (
            f"{move} was told of a move from {self.status} to {event.status}"
        )
        match move:
            case ("TO_BE_RUN", "RUNNING"):
                expected = self.attempt + 1
            case ("RUNNING", "QUEUED") if change.error is None:  # the permit came back unused
                expected = self.attempt - 1
            case _:
                expected = self.attempt
        assert event.attempt == expected, f"attempt {event.attempt} after {self.attempt} by {move}"
        if self.phase is not None:
            assert event.status in FINAL, f"{move} although a stop was asked for"
            assert self.phase == StopPhase.ENDED, f"ended while the stop was {self.phase}"
        assert event.status != "FAILED" or change.error is not None, "FAILED without an error"

    def _stop(self, phase: StopPhase) -> None:
        before = -1 if self.phase is None else PHASES.index(self.phase)
        assert PHASES.index(phase) > before, f"stop {phase} after {self.phase}"
        assert (phase == StopPhase.REQUESTED) == (self.phase is None), f"the stop began with {phase}"
        assert self.status == "RUNNING" or phase not in ONLY_RUNNING_PHASES, f"{phase} while {self.status}"
        self.phase = phase


def check(events: Iterable[JobEvent]) -> None:
    """Raise unless these events, from revision 1 on, are a history that there may be."""
    walk = _Walk()
    said = []
    for event in events:
        said.append(f"{event.revision} {event.kind} {event.status} {event.attempt} {event.detail}")
        try:
            walk.step(event)
        except AssertionError as wrong:
            raise AssertionError("\n".join([f"job {event.job_id}: {wrong}", *said])) from None
    assert walk.revision > 0, "a job without events"


def check_job(client: Client, job_id: str) -> tuple[JobInfo, list[JobEvent]]:
    """Check the history of a job that has ended, and that the job agrees with it; answer both."""
    job = client.get(job_id)
    events = list(client.events(job_id))
    check(events)
    ends = [event for event in events if event.final and event.kind == EventKind.STATUS_CHANGED]
    assert len(ends) == 1, f"{job_id} has {len(ends)} ends"
    last = events[-1]
    assert (job.revision, job.status, job.final) == (last.revision, last.status, True)
    assert [attempt.number for attempt in job.attempts] == list(range(1, last.attempt + 1))
    assert all(attempt.end_time is not None for attempt in job.attempts)
    retry = job.spec.retry
    assert last.attempt <= (retry.max_attempts if retry is not None else 1)
    phases = stop_phases(events)
    assert (job.stop.phase if job.stop is not None else None) == (phases[-1] if phases else None)
    detail = ends[0].detail
    assert isinstance(detail, StatusChange)
    assert job.error is None or job.status != "SUCCEEDED", f"{job_id} SUCCEEDED with {job.error}"
    assert detail.error is None or job.error is not None
    return job, events


def statuses(events: Iterable[JobEvent]) -> list[str]:
    """The statuses that a job went through."""
    kinds = (EventKind.CREATED, EventKind.STATUS_CHANGED)
    return [str(event.status) for event in events if event.kind in kinds]


def stop_phases(events: Iterable[JobEvent]) -> list[StopPhase]:
    """The phases that its stop went through."""
    return [event.detail.phase for event in events if isinstance(event.detail, StopChange)]


def check_watch(updates: Sequence[Any], history: Sequence[JobEvent]) -> None:
    """Raise unless a watch with messages showed a snapshot, then every event behind it once, then the end."""
    first, last = updates[0], updates[-1]
    assert isinstance(first, Snapshot), f"the watch began with {first}"
    assert isinstance(last, Finished), f"the watch ended with {last}"
    at = first.job.revision
    assert history[at - 1].status == first.job.status
    shown = [update for update in updates if isinstance(update, JobEvent)]
    assert shown == list(history[at : last.job.revision])
    assert sum(isinstance(update, Snapshot | Finished) for update in updates) == 2


def check_runs(lines: Iterable[str], histories: Mapping[str, Sequence[JobEvent]]) -> None:
    """Raise unless no code ran twice with one attempt, or without a permit, or was called done when it was not.

    lines: "start JOB ATTEMPT" and "end JOB ATTEMPT", as the jobs wrote them.
    """
    written = Counter(tuple(line.split()) for line in lines)
    for line, count in written.items():
        assert count == 1, f"{line} was written {count} times"
        verb, job_id, attempt = line
        assert int(attempt) in _permitted(histories[job_id]), f"{line} without a permit"
        assert verb == "start" or ("start", job_id, attempt) in written, f"{line} without a start"
    for job_id, events in histories.items():
        for number in _begun(events):
            assert ("start", job_id, str(number)) in written, f"attempt {number} of {job_id} never began"


def _permitted(events: Iterable[JobEvent]) -> set[int]:
    return {event.attempt for event in events if event.status == "RUNNING"}


def _begun(events: Iterable[JobEvent]) -> Iterator[int]:
    """The attempts whose code has certainly begun: it said something, or it ended by its own doing."""
    for event in events:
        if event.kind in ONLY_RUNNING:
            yield event.attempt
        if isinstance(event.detail, StatusChange) and event.detail.from_status == "RUNNING":
            error = event.detail.error
            own = error is not None and error.kind == ErrorKind.EXCEPTION
            if event.status == "SUCCEEDED" or own:
                yield event.attempt
