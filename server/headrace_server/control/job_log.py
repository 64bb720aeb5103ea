"""Log the life of each job: a line for each committed step, so that its job_id finds them all.

    debug   submitted · released · claimed · given back · started · stop DELIVERED · succeeded
    info    stop REQUESTED · stop TERMINATING, KILLING · attempt failed, again · failed · aborted

What goes well costs four lines a job, which a server with thousands a second does not bear: they
are there when asked for. What goes otherwise is rarer, has cost more than a line already, and is
what one looks for. That a worker was lost is a warning of the dispatcher.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

from headrace_server.domain.change import Change
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.for_each import singly
from headrace_server.domain.job import ErrorKind, Job, Status, StopPhase
from headrace_server.domain.open_enum import word
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.ports.jobs import Submitted

log = logging.getLogger(__name__)
successes = logging.getLogger(f"{__name__}.successes")
"""A line for each job that succeeded, for who develops: silent unless logs.py is told otherwise."""

_STEPS: Final = {
    Status.QUEUED: "released",
    Status.TO_BE_RUN: "claimed",
    Status.RUNNING: "started",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.ABORTED: "aborted",
}


def submitted(answer: Submitted, request_id: str) -> None:
    """A submit was answered."""
    job = answer.job.job
    text = "submitted again, with the same request_id" if answer.existing else "submitted"
    log.debug(text, extra={"job_id": job.job_id, "job_type": job.type, "request_id": request_id})


def batch_submitted(batch_id: str, count: int, request_id: str, *, existing: bool) -> None:
    """A batch was answered."""
    text = "batch submitted again, with the same request_id" if existing else "batch submitted"
    log.debug(text, extra={"batch_id": batch_id, "jobs": count, "request_id": request_id})


class JobLog(CommitListener):
    """Writes the lines."""

    def committed(self, changes: Sequence[Change]) -> None:
        """Log these changes; one that cannot be logged does not keep the others from it."""
        singly(changes, _tell, log=log, failed="a step of a job cannot be told")


def _tell(change: Change) -> None:
    for event in change.events:
        if event.kind is EventKind.STATUS_CHANGED:
            _step(change.job, event)
        elif event.kind is EventKind.STOP_CHANGED:
            _stop(change.job, event)


def _step(job: Job, event: Event) -> None:
    error = event.body.get("error")
    text = _STEPS.get(event.status, event.status.name)
    level = logging.INFO if error or event.status is Status.ABORTED else logging.DEBUG
    if event.status is Status.QUEUED and error:
        text = "attempt failed, to be tried again"
    elif event.status is Status.QUEUED and event.body.get("from") != Status.PENDING:
        text = "given back"
    if event.status is Status.SUCCEEDED and successes.isEnabledFor(logging.INFO):
        successes.info("%s", text, extra=_about(job, event))
    elif log.isEnabledFor(level):
        kind = word(ErrorKind, error["kind"]).name if error else None
        # repr: the text is the job's, and a line is a line.
        words, values = ("%s: %r", (text, error["message"][:200])) if error else ("%s", (text,))
        log.log(level, words, *values, extra=_about(job, event, error_kind=kind))


def _stop(job: Job, event: Event) -> None:
    phase = word(StopPhase, event.body["phase"])
    level = logging.DEBUG if phase in (StopPhase.DELIVERED, StopPhase.ENDED) else logging.INFO
    if log.isEnabledFor(level):
        reason = job.stop.reason if job.stop is not None else ""
        log.log(level, "stop %s: %r", phase.name, reason[:200], extra=_about(job, event))


def _about(job: Job, event: Event, **more: Any) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "job_type": job.type,
        "attempt": event.attempt or None,
        "worker": job.worker,
        "status": event.status.name,
        **more,
    }
