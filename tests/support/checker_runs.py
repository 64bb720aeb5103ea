"""Invariant I5 by the side file: what the code of a job wrote itself, against the runs that its
history knows.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.info import ErrorKind, JobEvent, JobStatus, StatusChange
from support.checker_journal import Mark
from support.history import ONLY_RUNNING, Invariant, Problem, stop_phases


@dataclass(frozen=True, slots=True)
class Run:
    """From a start permit to the event that ended it; ended is None while there is none."""

    attempt: int
    permitted: datetime
    ended: datetime | None
    to: JobStatus | None

    def holds(self, at: datetime) -> bool:
        """Whether its code may have run at this time."""
        return self.permitted <= at and (self.ended is None or at <= self.ended)


def runs(events: Iterable[JobEvent]) -> list[Run]:
    """The runs of a history.

    A permit's time is taken before its COMMIT, an end's behind the end of the code.
    """
    found: list[Run] = []
    open_run: tuple[int, datetime] | None = None
    for event in events:
        if not isinstance(event.detail, StatusChange) or event.event_time is None:
            continue
        if open_run is not None:
            found.append(Run(*open_run, event.event_time, event.status))
            open_run = None
        if event.status == "RUNNING":
            open_run = (event.attempt, event.event_time)
    return found if open_run is None else [*found, Run(*open_run, None, None)]


def run_problems(
    events: Sequence[JobEvent], marks: Sequence[Mark], frozen: Collection[int] = ()
) -> Iterator[Problem]:
    """What is wrong with the lines of a job: twice, beside each other, without a permit, outside of
    their run, missing.

    frozen: attempts that nobody could end before they were taken over; behind their end they may
    still be there.
    """
    known = runs(events)
    stopped = bool(stop_phases(events))
    written = Counter((mark.verb, mark.attempt) for mark in marks)
    for (verb, attempt), count in written.items():
        if count > 1:
            yield Invariant.I5, f"{verb} of attempt {attempt} was written {count} times"
        if verb == "end" and ("start", attempt) not in written:
            yield Invariant.I5, f"attempt {attempt} ended without a start"
    for mark in marks:
        if not mark.alone and not any(attempt < mark.attempt for attempt in frozen):
            yield Invariant.I5, f"attempt {mark.attempt} began while an earlier run of the job lived"
        if mark.verb == "start" or mark.attempt not in frozen:
            yield from _outside(mark, [run for run in known if run.attempt == mark.attempt], stopped=stopped)
    ended = _ended(events)
    for attempt in _spoke(events) | ended:
        if ("start", attempt) not in written:
            yield Invariant.I5, f"attempt {attempt} never began"
        elif attempt in ended and ("end", attempt) not in written:
            yield Invariant.I5, f"attempt {attempt} has the end of a run, and its code never came to its end"


def _outside(mark: Mark, permits: Sequence[Run], *, stopped: bool) -> Iterator[Problem]:
    if not permits:
        yield Invariant.I5, f"{mark}: without a permit"
    elif any(run.holds(mark.at) for run in permits):
        return
    elif mark.at < permits[0].permitted:
        yield Invariant.I5, f"{mark}: before its permit was on disk at {permits[0].permitted:%H:%M:%S.%f}"
    elif permits[-1].to == "ABORTED" and stopped:
        yield Invariant.I7, f"{mark}: after ABORTED had been stored"
    else:
        yield Invariant.I5, f"{mark}: after the end of its attempt had been stored"


def _spoke(events: Iterable[JobEvent]) -> set[int]:
    """The attempts whose code has certainly begun, because it said something."""
    return {event.attempt for event in events if event.kind in ONLY_RUNNING}


def _ended(events: Iterable[JobEvent]) -> set[int]:
    """The attempts that ended by the doing of their code: it returned, or raised an exception.

    Whoever ends an attempt so has seen that code end. An attempt that ended so while its code did
    not was ended by another: by a run that had been replaced.
    """
    ended = set()
    for event in events:
        if isinstance(event.detail, StatusChange) and event.detail.from_status == "RUNNING":
            error = event.detail.error
            if event.status == "SUCCEEDED" or (error is not None and error.kind == ErrorKind.EXCEPTION):
                ended.add(event.attempt)
    return ended
