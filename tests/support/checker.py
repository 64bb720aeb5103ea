"""The checker: one for every test that breaks things.

    evidence = Evidence(tmp_path / "log")             (support.checker_evidence) what is seen from outside the server
    witness = Witness(evidence, client)               (support.checker_witness) a client whose answers are kept
    …                                                 the side file is written by the jobs of support.chaos_jobs
    judge(evidence, client)                           reads the jobs and their histories from the server, prints a
                                                      report, and raises Broken with every violation
                                                      that it found
    check_job, check_runs                             for tests of a few jobs: histories and side file alone

    I1 answered means stored        submits and stops that were answered, against the server
    I2 one terminal status          each job that was ever answered as ended, against the job as it is now
    I3 transition table             histories (support.history)
    I4 revisions                    histories, and what each watch was shown
    I5 attempts, permits and ends   histories, and the side file (support.checker_runs)
    I6 one request_id, one job      answers, and the list of all jobs
    I7 stops                        times on the server, the side file

I5 and I7 are also asked of the kernel: no process of a job lives when its end was answered. That
holds for runs that were taken over too: the supervisor of a dead or stopped server kills them
before the lease is over. Only where that was stopped as well, with the code itself, nobody can:
such runs are named by the test (Evidence.frozen). They may stand beside the next attempt, and say
in the side file that they end, until they are found and killed.

Times of the side file and of the server are compared as they are: both come from the clock of one
machine, which nobody steps meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta

from headrace import Client
from headrace.errors import JobNotFound
from headrace.info import ErrorKind, JobEvent, JobInfo
from support import checker_journal, figures
from support.checker_evidence import Evidence
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


def check_job(client: Client, job_id: str) -> tuple[JobInfo, list[JobEvent]]:
    """One job that has ended, and its history.

    Raises AssertionError when they break an invariant.
    """
    job = client.get(job_id)
    events = list(client.events(job_id))
    _raise(job_id, job_problems(job, events))
    return job, events


def check_runs(lines: Iterable[str], histories: Mapping[str, Sequence[JobEvent]]) -> None:
    """Lines of a side file against the histories of all its jobs.

    Raises AssertionError when they break an invariant.
    """
    marks = checker_journal.parse(lines)
    assert {mark.job_id for mark in marks} <= histories.keys(), "a job wrote lines, and has no history"
    for job_id, events in histories.items():
        _raise(job_id, run_problems(events, [mark for mark in marks if mark.job_id == job_id]))


def _raise(job_id: str, problems: Iterable[Problem]) -> None:
    if found := [f"{invariant.name} {sentence}" for invariant, sentence in problems]:
        raise AssertionError("\n".join([f"job {job_id}", *found]))


def judge(evidence: Evidence, client: Client) -> Report:
    """Check everything, print the report, raise Broken when any invariant is.

    Every job should have ended.
    """
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
        frozen = evidence.frozen_attempts(job_id)
        report.add(job_id, run_problems(events, marks.get(job_id, []), frozen))
    report.add_all(_changed(evidence.ended, report.jobs))
    report.add_all(_living(evidence.living))
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
        if job is None or job == answered:
            continue
        for name in (field.name for field in fields(job)):
            before, now = getattr(answered, name), getattr(job, name)
            if before != now:
                yield job.job_id, (Invariant.I2, f"its {name} was answered as {before}, and is {now}")


def _living(living: Iterable[JobInfo]) -> Iterator[tuple[str, Problem]]:
    for job in living:
        invariant = Invariant.I7 if job.status == "ABORTED" else Invariant.I5
        yield job.job_id, (invariant, f"it was answered as {job.status} while a process of it lived")


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
        if job.stop is not None:
            for sentence in _late(evidence, job, stop.grace):
                yield job.job_id, (Invariant.I7, sentence)


def _late(evidence: Evidence, job: JobInfo, grace: float) -> Iterator[str]:
    assert job.stop is not None
    # Of a run whose instance has died nobody can see the end; others end it, once they have it.
    allowed = evidence.takeover if _lost(job) else None
    if job.status == "ABORTED" and not job.stop.confirmed and allowed is None:
        yield "it is ABORTED, and nobody has seen the end of its code"
    asked, end = job.stop.request_time, job.end_time
    if asked is None or end is None:
        yield f"a stop was answered, and it is {job.status}"
        return
    away = sum(
        (max(timedelta(), min(end, back) - max(asked, gone)) for gone, back in evidence.outages), timedelta()
    )
    took = (end - asked - away).total_seconds()
    if took > grace + figures.guard(STOP_SECONDS + (allowed or 0)):
        yield f"a stop with a grace of {grace:g} s took {took:.1f} s, time without a server left out"


def _lost(job: JobInfo) -> bool:
    error = job.attempts[-1].error if job.attempts else None
    return error is not None and error.kind == ErrorKind.INSTANCE_LOST


def _watches(evidence: Evidence, histories: dict[str, Sequence[JobEvent]]) -> Iterator[tuple[str, Problem]]:
    for job_id, why in evidence.torn:
        yield job_id, (Invariant.I4, f"a watch broke off: {why}")
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
