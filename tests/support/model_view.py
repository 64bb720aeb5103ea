"""A job of the store and a record of the model, each as the same plain dict: so they can be
compared field by field.
"""

from typing import Any

from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import ErrorKind, Status, StopPhase
from headrace_server.domain.query import FullJob
from support.model import Record, SeenEvent

SAME = (
    "job_id",
    "tenant",
    "type",
    "owner",
    "priority",
    "run_after",
    "expire_time",
    "create_time",
    "status_time",
    "description",
    "locked",
    "version",
    "queue_time",
    "start_time",
    "end_time",
    "next_attempt_time",
    "due_time",
    "claim",
    "instance",
    "attempt",
)


def of_store(full: FullJob) -> dict[str, Any]:
    """A job with its payload."""
    job = full.job
    results = dict(full.payload.results) if full.payload else {}
    if full.payload and full.payload.result is not None:
        results[""] = full.payload.result
    return {
        **{name: getattr(job, name) for name in SAME},
        "labels": dict(job.labels),
        "status": job.status.name,
        "revision": job.revision,
        "attempts": [
            (attempt.start_time, attempt.end_time, attempt.error.kind.name if attempt.error else None)
            for attempt in job.attempts
        ],
        "progress": job.progress.done if job.progress else None,
        "error": job.error.kind.name if job.error else None,
        "stop": (job.stop.phase.name, job.stop.kill_time, job.stop.confirmed) if job.stop else None,
        "messages": job.message_count,
        "dropped": job.dropped_count,
        "results": results,
    }


def of_model(record: Record) -> dict[str, Any]:
    """A record."""
    return {
        **{name: getattr(record, name) for name in SAME},
        "labels": record.labels,
        "status": record.status,
        "revision": len(record.history),
        "attempts": [(one.start_time, one.end_time, one.error) for one in record.attempts],
        "progress": record.progress,
        "error": record.error,
        "stop": (record.stop.phase, record.stop.kill_time, record.stop.confirmed) if record.stop else None,
        "messages": record.messages,
        "dropped": record.dropped,
        "results": record.results,
    }


def seen_event(event: Event) -> SeenEvent:
    """An event of the store as one of the model."""
    body = event.body
    says: tuple[Any, ...]
    match event.kind:
        case EventKind.STATUS_CHANGED:
            error = body.get("error")
            says = (
                Status(body["from"]).name,
                Status(body["to"]).name,
                ErrorKind(error["kind"]).name if error else None,
            )
        case EventKind.MESSAGE_LOGGED:
            says = (body["text"],)
        case EventKind.RESULT_SET:
            says = (body["name"],)
        case EventKind.STOP_CHANGED:
            says = (StopPhase(body["phase"]).name,)
        case EventKind.UPDATED:
            says = tuple(body["paths"])
        case EventKind.MESSAGES_DROPPED:
            says = (body["count"],)
        case _:
            says = ()
    return SeenEvent(event.revision, event.kind.name, event.status.name, event.attempt, event.at, says)
