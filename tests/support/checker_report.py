"""What the checker has found, in words for one who was not there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from headrace.info import JobError, JobEvent, JobInfo, LoggedMessage, StatusChange, StopChange
from support.checker_journal import Mark
from support.history import Invariant, Problem

SHOWN = 10
"""Jobs that are told with their history for each invariant; the others are counted."""


class Report:
    """The jobs of a run, what was called, which kills hit what, and for each invariant what broke
    it.
    """

    def __init__(self, kills: Mapping[str, int]) -> None:
        self.kills = kills
        self.calls: dict[str, int] = {}
        self.jobs: dict[str, JobInfo] = {}
        self.histories: dict[str, Sequence[JobEvent]] = {}
        self._marks: dict[str, Sequence[Mark]] = {}
        self._lost = 0
        self._found: dict[Invariant, list[tuple[str, str]]] = {invariant: [] for invariant in Invariant}

    @property
    def broken(self) -> frozenset[Invariant]:
        """The invariants that were broken."""
        return frozenset(invariant for invariant, found in self._found.items() if found)

    @property
    def lost(self) -> int:
        """Jobs whose submit was answered and that are not there."""
        return self._lost

    @property
    def doubled(self) -> int:
        """Jobs that have more than one end, or an attempt whose code began twice."""
        return sum(
            sum(event.final and isinstance(event.detail, StatusChange) for event in events) > 1
            or max(_starts(self._marks[job_id]).values(), default=0) > 1
            for job_id, events in self.histories.items()
        )

    def take(self, job: JobInfo, events: Sequence[JobEvent], marks: Sequence[Mark]) -> None:
        """A job with its history and its lines in the side file."""
        self.jobs[job.job_id] = job
        self.histories[job.job_id] = events
        self._marks[job.job_id] = marks

    def missing(self, job_id: str, invariant: Invariant, sentence: str) -> None:
        """A job that is not there."""
        self._lost += 1
        self._found[invariant].append((job_id, sentence))

    def add(self, job_id: str, problems: Iterable[Problem]) -> None:
        """What is wrong with a job."""
        self.add_all((job_id, problem) for problem in problems)

    def add_all(self, problems: Iterable[tuple[str, Problem]]) -> None:
        """What is wrong with several."""
        for job_id, (invariant, sentence) in problems:
            self._found[invariant].append((job_id, sentence))

    def by_status(self) -> Counter[str]:
        """How many jobs have which status."""
        return Counter(str(job.status) for job in self.jobs.values())

    def by_error(self) -> Counter[str]:
        """How many jobs have met which kind of error, in an attempt or before the first."""
        return Counter(
            kind
            for job in self.jobs.values()
            for kind in {
                str(error.kind)
                for error in (job.error, *(attempt.error for attempt in job.attempts))
                if error is not None
            }
        )

    def __str__(self) -> str:
        lines = [
            "The checker's report",
            f"  jobs      {len(self.jobs) + self._lost}, by status: {_counts(self.by_status())}",
            f"  errors    {_counts(self.by_error()) or 'none'}",
            f"  calls     {_counts(self.calls)}",
            f"  kills     {_counts(self.kills) or 'none'}",
        ]
        for invariant, found in self._found.items():
            verdict = f"{len(found)} VIOLATIONS" if found else "held"
            lines.append(f"  {invariant.name} {invariant}: {verdict}")
            by_job: dict[str, list[str]] = {}
            for job_id, sentence in found:
                by_job.setdefault(job_id, []).append(sentence)
            for job_id, sentences in list(by_job.items())[:SHOWN]:
                lines += [*(f"    job {job_id}: {sentence}" for sentence in sentences), *self._story(job_id)]
            if len(by_job) > SHOWN:
                lines.append(f"    … and {len(by_job) - SHOWN} jobs more")
        return "\n".join(lines)

    def _story(self, job_id: str) -> list[str]:
        told = [(event.event_time, _words(event)) for event in self.histories.get(job_id, ())]
        told += [(mark.at, f"     {mark}") for mark in self._marks.get(job_id, ())]
        timed = [(at, words) for at, words in told if at is not None]
        return [
            f"        {at:%H:%M:%S.%f} {words}" for at, words in sorted(timed, key=lambda entry: entry[0])
        ]


def _words(event: JobEvent) -> str:
    match event.detail:
        case StatusChange(error=JobError() as error):
            more = f"by {error.kind}: {error.message}"
        case StopChange():
            more = str(event.detail.phase)
        case LoggedMessage():
            more = event.detail.text
        case _:
            more = ""
    return f"{event.revision:4} {event.kind} {event.status}, attempt {event.attempt} {more}".rstrip()


def _starts(marks: Iterable[Mark]) -> Counter[int]:
    return Counter(mark.attempt for mark in marks if mark.verb == "start")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
