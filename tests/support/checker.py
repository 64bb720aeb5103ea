"""The checker: one for every test that breaks things.

    evidence = Evidence(tmp_path / "log")             what is seen from outside the server, whatever is killed
    witness = Witness(evidence, client)               (support.checker_witness) a client whose answers are kept
    …                                                 the side file is written by the jobs of support.chaos_jobs
    judge(evidence, client)                           reads the jobs and their histories from the server, prints a
                                                      report, and raises Broken with every violation that it found

    I1 answered means stored        submits and stops that were answered, against the server
    I2 one terminal status          each job that was ever answered as ended, against the job as it is now
    I3 transition table             histories (support.history)
    I4 revisions                    histories, and what each watch was shown
    I5 attempts and permits         histories, and the side file (support.checker_runs)
    I6 one request_id, one job      answers, and the list of all jobs
    I7 stops                        times on the server, the side file, and whether a process of the job lives

Times of the side file and of the server are compared as they are: both come from the clock of one machine, which
nobody steps meanwhile.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headrace import Client
from headrace.errors import JobNotFound
from headrace.info import JobEvent, JobInfo, StopResult, Update
from support import checker_journal, figures
from support.checker_journal import Mark
from support.checker_report import Report
from support.checker_runs import run_problems
from support.history import Invariant, Problem, job_problems, watch_problems

STOP_SECONDS = 2.0
"""What a stop may take beyond its grace period."""


class Broken(AssertionError):
    """Invariants were broken; the text is the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.invariants = report.broken


@dataclass(frozen=True, slots=True)
class AnsweredStop:
    """A stop and its answer; lives: a process of the job was there behind an answer that said ABORTED."""

    grace: float
    result: StopResult
    lives: bool = False


class Evidence:
    """What clients called and were answered, what watchers saw, where the side file is, when there was no server."""

    def __init__(self, log: Path) -> None:
        self.log = checker_journal.make(log)
        self.submits: list[tuple[str, str]] = []
        """(request_id, job id), for each answer."""
        self.stops: list[AnsweredStop] = []
        self.ended: list[JobInfo] = []
        """Jobs that were answered as ended."""
        self.watches: list[tuple[str, Sequence[Update]]] = []
        self.outages: list[tuple[datetime, datetime]] = []
        self.kills: Counter[str] = Counter()
        """How many kills hit which phase."""
        self.unanswered: Counter[str] = Counter()
        """Calls that ended by an error, by verb."""
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    @contextmanager
    def calling(self, verb: str) -> Iterator[None]:
        """A call is under way."""
        with self._lock:
            self._open[verb] += 1
        try:
            yield
        except BaseException:
            self.unanswered[verb] += 1
            raise
        finally:
            with self._lock:
                self._open[verb] -= 1

    @contextmanager
    def away(self) -> Iterator[None]:
        """There is no server: it is dead, and back at the end of this."""
        gone = datetime.now(UTC)
        yield
        self.outages.append((gone, datetime.now(UTC)))

    def open_calls(self) -> set[str]:
        """The verbs of calls that are under way."""
        with self._lock:
            return {verb for verb, count in self._open.items() if count}

    def submitted(self, request_id: str, job_id: str) -> None:
        """A submit was answered."""
        self.submits.append((request_id, job_id))

    def stopped(self, grace: float, result: StopResult) -> StopResult:
        """A stop was answered: look at once whether a process of the job is left where there must be none."""
        over = result.job.status == "ABORTED"
        lives = over and checker_journal.lives(self.log, result.job.job_id)
        self.stops.append(AnsweredStop(grace, result, lives))
        self.seen(result.job)
        return result

    def seen(self, job: JobInfo) -> JobInfo:
        """A job was answered."""
        if job.final:
            self.ended.append(job)
        return job

    def job_ids(self) -> list[str]:
        """Every job whose submit was answered."""
        return list(dict.fromkeys(job_id for _, job_id in self.submits))

    def marks(self) -> dict[str, list[Mark]]:
        """The side file by job."""
        found: dict[str, list[Mark]] = {}
        for mark in checker_journal.read(self.log):
            found.setdefault(mark.job_id, []).append(mark)
        return found


def judge(evidence: Evidence, client: Client) -> Report:
    """Check everything, print the report, raise Broken when any invariant is. Every job should have ended."""
    report = Report(evidence.kills)
    marks = evidence.marks()
    for job_id in evidence.job_ids():
        try:
            job = client.get(job_id)
        except JobNotFound:
            report.missing(job_id, Invariant.I1, "its submit was answered, and it is not there")
            continue
        events = list(client.events(job_id))
        report.take(job, events, marks.get(job_id, []))
        report.add(job_id, job_problems(job, events))
        report.add(job_id, run_problems(events, marks.get(job_id, [])))
    report.add_all(_changed(evidence.ended, report.jobs))
    report.add_all(_stops(evidence, report.jobs))
    report.add_all(_watches(evidence, report.histories))
    report.add_all(_requests(evidence, client))
    report.calls = {
        "submits": len(evidence.submits),
        "repeats": len(evidence.submits) - len({request for request, _ in evidence.submits}),
        "stops": len(evidence.stops),
        "watches": len(evidence.watches),
        "calls without an answer": evidence.unanswered.total(),
    }
    print(report)
    if report.broken:
        raise Broken(report)
    return report


def _changed(ended: Iterable[JobInfo], jobs: dict[str, JobInfo]) -> Iterator[tuple[str, Problem]]:
    for answered in ended:
        job = jobs.get(answered.job_id)
        if job is not None and job != answered:
            yield job.job_id, (Invariant.I2, f"it was answered as {answered}, and is {job}")


def _stops(evidence: Evidence, jobs: dict[str, JobInfo]) -> Iterator[tuple[str, Problem]]:
    for stop in evidence.stops:
        outcome, answered = stop.result.outcome, stop.result.job
        job = jobs.get(answered.job_id)
        if job is None:
            continue
        if job.stop is None and outcome != "ALREADY_FINISHED":
            yield job.job_id, (Invariant.I1, f"a stop was answered {outcome}, and is not there")
        if (outcome == "STOPPED") != (answered.status == "ABORTED") and outcome != "ALREADY_FINISHED":
            yield job.job_id, (Invariant.I7, f"a stop was answered {outcome} of a job that {answered.status}")
        if stop.lives:
            yield job.job_id, (Invariant.I7, "a stop was answered ABORTED while a process of the job lived")
        if job.stop is not None:
            for sentence in _late(evidence, job, stop.grace):
                yield job.job_id, (Invariant.I7, sentence)


def _late(evidence: Evidence, job: JobInfo, grace: float) -> Iterator[str]:
    assert job.stop is not None
    if job.status == "ABORTED" and not job.stop.confirmed:
        yield "it is ABORTED, and nobody has seen the end of its code"
    asked, end = job.stop.request_time, job.end_time
    if asked is None or end is None:
        yield f"a stop was answered, and it is {job.status}"
        return
    away = sum(
        (max(timedelta(), min(end, back) - max(asked, gone)) for gone, back in evidence.outages), timedelta()
    )
    took = (end - asked - away).total_seconds()
    if took > grace + figures.guard(STOP_SECONDS):
        yield f"a stop with a grace of {grace:g} s took {took:.1f} s, time without a server left out"


def _watches(evidence: Evidence, histories: dict[str, Sequence[JobEvent]]) -> Iterator[tuple[str, Problem]]:
    for job_id, updates in evidence.watches:
        if job_id in histories:
            for problem in watch_problems(updates, histories[job_id]):
                yield job_id, problem


def _requests(evidence: Evidence, client: Client) -> Iterator[tuple[str, Problem]]:
    """A request_id is the description of its job too: so those are found that no answer tells of."""
    made: dict[str, set[str]] = {}
    for request, job_id in evidence.submits:
        made.setdefault(request, set()).add(job_id)
    for job in client.list(page_size=1000):
        if job.spec.description in made:
            made[job.spec.description].add(job.job_id)
    for request, job_ids in made.items():
        if len(job_ids) > 1:
            yield min(job_ids), (Invariant.I6, f"request_id {request!r} made {len(job_ids)} jobs: {job_ids}")
