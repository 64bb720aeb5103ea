"""What must be true of every job's history, whatever was killed meanwhile.

    problems(events)               revisions, moves, attempts, phases of a stop: by the table of docs/state_machine.md
    job_problems(job, events)      the same, and the job as it stands agrees with its history
    watch_problems(updates, …)     what a watcher was shown is the history: nothing lost, nothing twice

Each gives (invariant, sentence) for whatever is wrong; support.checker adds what is known from
elsewhere.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from headrace.info import (
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


class Invariant(StrEnum):
    """The invariants of docs/guarantees.md."""

    I1 = "answered means stored"
    I2 = "one terminal status, never changed"
    I3 = "the history follows the transition table"
    I4 = "revisions are gap-free in the log and in each stream"
    I5 = "attempts rise, at most max_attempts; no code before its permit, nor beside an earlier run"
    I6 = "one request_id, one job"
    I7 = "an answered stop ends within grace + 2 s, and then no code of the job runs"


Problem = tuple[Invariant, str]

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
    """A history walked through, event by event.

    Behind a gap nothing is known but what the next event says.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.whole = True
        self._status = NOTHING
        self._attempt = 0
        self._phase: StopPhase | None = None

    def step(self, event: JobEvent) -> Iterator[Problem]:
        """Go on by one event; give what is wrong with it."""
        if event.revision != self.revision + 1:
            yield Invariant.I4, f"revision {event.revision} follows {self.revision}"
            self._resume(event)
        if event.final != (event.status in FINAL):
            yield Invariant.I3, f"final is {event.final} in {event.status}"
        if self._status in FINAL and event.kind != EventKind.UPDATED:
            yield Invariant.I2, f"{event.kind} after the end"
        else:
            yield from self._look(event)
        self.revision, self._status, self._attempt = event.revision, str(event.status), event.attempt

    def _look(self, event: JobEvent) -> Iterator[Problem]:
        match event.detail:
            case StatusChange():
                yield from self._move(event, event.detail)
            case StopChange():
                yield from self._stay(event)
                yield from self._stop(event.detail.phase)
            case _ if event.kind == EventKind.CREATED:
                if (NOTHING, event.status) not in moves():
                    yield Invariant.I3, f"created as {event.status}"
                if event.attempt != 0:
                    yield Invariant.I5, "created in an attempt"
            case _:
                yield from self._stay(event)
                if event.kind in ONLY_RUNNING and self._status != "RUNNING":
                    yield Invariant.I3, f"{event.kind} while {self._status}"

    def _resume(self, event: JobEvent) -> None:
        self.whole = False
        self._attempt = event.attempt
        self._status = str(event.status)
        if isinstance(event.detail, StatusChange):
            self._status = str(event.detail.from_status)

    def _stay(self, event: JobEvent) -> Iterator[Problem]:
        if self._status != event.status:
            yield Invariant.I3, f"{event.kind} moved the job from {self._status} to {event.status}"
        if self._attempt != event.attempt:
            yield Invariant.I5, f"{event.kind} moved the attempt from {self._attempt} to {event.attempt}"

    def _move(self, event: JobEvent, change: StatusChange) -> Iterator[Problem]:
        move = (str(change.from_status), str(change.to_status))
        if move not in moves():
            yield Invariant.I3, f"no move leads from {move[0]} to {move[1]}"
            return
        if move != (self._status, event.status):
            yield Invariant.I3, f"{move} was told of a move from {self._status} to {event.status}"
        if self.whole and event.attempt != (expected := self._expected(move, change)):
            yield Invariant.I5, f"attempt {event.attempt} by {move}, where {expected} follows"
        if self._phase is not None:
            if event.status not in FINAL:
                yield Invariant.I3, f"{move} although a stop was asked for"
            elif self.whole and self._phase != StopPhase.ENDED:
                yield Invariant.I3, f"ended while the stop was {self._phase}"
        if event.status == "FAILED" and change.error is None:
            yield Invariant.I3, "FAILED without an error"

    def _expected(self, move: tuple[str, str], change: StatusChange) -> int:
        match move:
            case ("TO_BE_RUN", "RUNNING"):
                return self._attempt + 1
            case ("RUNNING", "QUEUED") if change.error is None:  # the permit came back unused
                return self._attempt - 1
            case _:
                return self._attempt

    def _stop(self, phase: StopPhase) -> Iterator[Problem]:
        before = -1 if self._phase is None else PHASES.index(self._phase)
        if PHASES.index(phase) <= before:
            yield Invariant.I3, f"stop {phase} after {self._phase}"
        if self.whole and (phase == StopPhase.REQUESTED) != (self._phase is None):
            yield Invariant.I3, f"the stop began with {phase}"
        if phase in ONLY_RUNNING_PHASES and self._status != "RUNNING":
            yield Invariant.I3, f"stop {phase} while {self._status}"
        self._phase = phase


def problems(events: Iterable[JobEvent]) -> list[Problem]:
    """What keeps these events, from revision 1 on, from being a history that there may be."""
    walk = _Walk()
    found = [problem for event in events for problem in walk.step(event)]
    return found or ([] if walk.revision else [(Invariant.I4, "a job without events")])


def job_problems(job: JobInfo, events: Sequence[JobEvent]) -> list[Problem]:
    """What is wrong with the history of a job that should have ended, and with the job beside it."""
    found = problems(events)
    if any(invariant is Invariant.I4 for invariant, _ in found):
        return found
    last = events[-1]
    if job.revision != last.revision:
        # Of what the log does not hold nothing more can be said.
        return [*found, (Invariant.I4, f"the job is at revision {job.revision}, its log at {last.revision}")]
    return [*found, *_disagreements(job, events)]


def _disagreements(job: JobInfo, events: Sequence[JobEvent]) -> Iterator[Problem]:
    last = events[-1]
    ends = [event for event in events if event.final and event.kind == EventKind.STATUS_CHANGED]
    if len(ends) != 1 or not job.final:
        yield Invariant.I2, f"it is {job.status} and its history has {len(ends)} ends"
    if job.status != last.status:
        yield Invariant.I3, f"the job is {job.status}, its history {last.status}"
    numbers = [attempt.number for attempt in job.attempts]
    if numbers != list(range(1, last.attempt + 1)):
        yield Invariant.I5, f"its attempts are {numbers}, its history has {last.attempt}"
    allowed = job.spec.retry_policy.max_attempts if job.spec.retry_policy is not None else 1
    if last.attempt > allowed:
        yield Invariant.I5, f"{last.attempt} attempts of {allowed}"
    if any(attempt.end_time is None for attempt in job.attempts):
        yield Invariant.I5, "one of its attempts has no end"
    phases = stop_phases(events)
    if (job.stop.phase if job.stop is not None else None) != (phases[-1] if phases else None):
        yield Invariant.I3, f"its stop is {job.stop}, its history has {phases}"
    if job.status == "SUCCEEDED" and job.error is not None:
        yield Invariant.I3, f"it SUCCEEDED with {job.error}"
    if any(isinstance(end.detail, StatusChange) and end.detail.error for end in ends) and job.error is None:
        yield Invariant.I3, "its history has an error, the job has none"


def statuses(events: Iterable[JobEvent]) -> list[str]:
    """The statuses that a job went through."""
    kinds = (EventKind.CREATED, EventKind.STATUS_CHANGED)
    return [str(event.status) for event in events if event.kind in kinds]


def stop_phases(events: Iterable[JobEvent]) -> list[StopPhase]:
    """The phases that its stop went through."""
    return [event.detail.phase for event in events if isinstance(event.detail, StopChange)]


def watch_problems(updates: Sequence[Any], history: Sequence[JobEvent]) -> Iterator[Problem]:
    """What keeps a watch with messages from being a snapshot, every event behind it once, and the
    end.
    """
    first, last = updates[0], updates[-1]
    if not isinstance(first, Snapshot) or not isinstance(last, Finished):
        yield Invariant.I4, f"a watch began with {first} and ended with {last}"
        return
    shown = [update for update in updates if isinstance(update, JobEvent)]
    behind = [event for event in history if first.job.revision < event.revision <= last.job.revision]
    if shown != behind:
        revisions = [event.revision for event in shown], [event.revision for event in behind]
        yield Invariant.I4, "a watch showed revisions {} where the log has {}".format(*revisions)
    if sum(isinstance(update, Snapshot | Finished) for update in updates) != 2:
        yield Invariant.I4, "a watch showed more than one snapshot or end"
    if any(e.revision == first.job.revision and e.status != first.job.status for e in history):
        yield Invariant.I4, f"a watch began with {first.job.status} at revision {first.job.revision}"
