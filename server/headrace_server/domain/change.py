"""A change of a job: what the functions that decide give, and how they make it.

A Change is the job afterwards and the events that say so. Each function that decides takes the job
as it stands and the time; it is pure, so the store can apply many to one job and write the job once
(events are never merged). One that finds nothing to do gives the job back with no events. One that
must refuse raises a ControlError (the caller is told) or StaleClaim (the run is told).

    requests  create · release · request_stop · update · check_delete               what callers ask for
    expiry    promote · expire                                                      what time brings
    running   claim -> permit -> progress, log, set_result, stop_phase -> finish    what becomes of a run
              give_back (not permitted), return_permit (permitted, never begun), recover (its
              instance is gone)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.hot import hot
from headrace_server.domain.job import MOVES, Job, JobError, Status, StopPhase

_FIELDS = tuple(field.name for field in fields(Job))
_PLACES = {name: place for place, name in enumerate(_FIELDS)}
_values_of = attrgetter(*_FIELDS)
_MOVED: Mapping[tuple[Status, Status], Mapping[str, Any]] = {
    (before, to): {"from": int(before), "to": int(to)} for before, to in MOVES
}
"""The bodies of the events of legal moves, each made once: nobody changes a body."""


@hot
@dataclass(frozen=True, slots=True)
class Change:
    """The job afterwards, the events that say so, and the results written beside it.

    results maps names to JSON texts of plain values; "" is what the job returned. clear_results
    drops those of an earlier attempt first.
    """

    job: Job
    events: tuple[Event, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    clear_results: bool = False


def merge(first: Change, second: Change) -> Change:
    """Two changes of one job, one after the other, as one."""
    results = second.results if second.clear_results else {**first.results, **second.results}
    clear = first.clear_results or second.clear_results
    return Change(second.job, first.events + second.events, results, clear)


def chain(decisions: Sequence[Callable[[Job, int], Change]]) -> Callable[[Job, int], Change]:
    """Several decisions on one job as one: all of them or, when one raises, none."""

    def decide(job: Job, now: int) -> Change:
        change = decisions[0](job, now)
        for decision in decisions[1:]:
            change = merge(change, decision(change.job, now))
        return change

    return decide


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a job: level and source are numbers of the contract's enums."""

    level: int
    source: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, as its child said or its pool saw.

    error is None for a return. aborted: the job aborted itself. retry: a DECLARED error asked for
    another attempt. stop_seen: the stop had reached the job's code. insisted: it called
    ctx.succeed. confirmed: none of its code runs any more.
    """

    error: JobError | None = None
    aborted: bool = False
    retry: bool = False
    stop_seen: bool = False
    insisted: bool = False
    confirmed: bool = True
    result: str | None = None


class Draft:
    """A job while it is being changed: new events and new values of its fields.

    Each event gets one revision. The job is built once, at the end.
    """

    def __init__(self, job: Job, now: int) -> None:
        self.job = job
        """As it was."""
        self.now = now
        self._events: list[Event] = []
        self._new: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """A field as it is by now."""
        return self._new[name] if name in self._new else getattr(self.job, name)

    def set(self, **new: Any) -> None:
        """New values of fields."""
        self._new.update(new)

    def log(self, kind: EventKind, **body: Any) -> None:
        """An event; its revision is the job's next."""
        self._log(kind, body)

    def _log(self, kind: EventKind, body: Mapping[str, Any]) -> None:
        job, new = self.job, self._new
        self._events.append(
            Event(
                job.job_id,
                job.tenant,
                job.type,
                job.revision + len(self._events) + 1,
                self.now,
                new.get("attempt", job.attempt),
                new.get("status", job.status),
                kind,
                body,
            )
        )

    def move(self, to: Status, *, cause: JobError | None = None, **new: Any) -> None:
        """A legal move, and its event. A cause becomes the job's error too."""
        before: Status = self.get("status")
        body = _MOVED.get((before, to))
        if body is None:
            raise AssertionError(f"no move from {before.name} to {to.name}")
        if to.final:
            new.update(end_time=self.now, due_time=None, next_attempt_time=None)
        new.update(status=to, status_time=self.now)
        if cause is not None:
            error = asdict(cause)
            del error["unknown"]
            body = {**body, "error": error}
            new["error"] = cause
        self._new.update(new)
        self._log(EventKind.STATUS_CHANGED, body)

    def end_stop(self, *, confirmed: bool) -> None:
        """The stop that was asked for, if there is one, has come to its end."""
        stop = self.get("stop")
        if stop is not None:
            self.set(stop=replace(stop, phase=StopPhase.ENDED, confirmed=confirmed))
            self.log(EventKind.STOP_CHANGED, phase=int(StopPhase.ENDED))

    def done(self, **beside: Any) -> Change:
        """Return the change, with its results given as `beside`.

        Without events and new values the job is the original one.
        """
        if not self._new and not self._events:
            return Change(self.job, **beside)
        # By place: dataclasses.replace costs twice as much, and every write of every job passes
        # here.
        values = list(_values_of(self.job))
        for name, value in self._new.items():
            values[_PLACES[name]] = value
        values[_PLACES["revision"]] += len(self._events)
        return Change(Job(*values), tuple(self._events), **beside)
