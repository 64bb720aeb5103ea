"""An event of a job's history, from its message."""

from collections.abc import Callable, Mapping

from headrace import info, values
from headrace._models.enums import EventKind, MessageLevel, MessageSource
from headrace._requests.fields import failure, phase, status, time_of, value_of, values_of, word
from headrace.v1 import job_pb2


def event(message: job_pb2.JobEvent) -> info.JobEvent:
    """An event of a job's history; of a kind UNKNOWN when this client does not know it."""
    kind = message.WhichOneof("kind")
    return info.JobEvent(
        job_id=message.job_id,
        tenant=message.tenant,
        type=message.type,
        revision=message.revision,
        event_time=time_of(message, "event_time"),
        attempt=message.attempt,
        status=status(message.status),
        final=message.final,
        kind=EventKind[kind.upper()] if kind is not None else EventKind.UNKNOWN,
        detail=_detail(message),
        payload=_payload(message),
    )


def _detail(message: job_pb2.JobEvent) -> info.EventDetail | None:
    read = _DETAILS.get(message.WhichOneof("kind") or "")
    return read(message) if read is not None else None


def _payload(message: job_pb2.JobEvent) -> info.Payload | None:
    created, changed = message.created, message.status_changed
    if not (created.payload_included or changed.payload_included):
        return None
    try:
        return info.Payload(
            parameters=values_of(created.parameters, "parameters"),
            result=value_of(changed.result) if changed.HasField("result") else None,
            results=values_of(changed.results, "results"),
        )
    except values.UnsupportedValue:  # of a newer server: whoever reads the job is told
        return None


def _status_change(message: job_pb2.JobEvent) -> info.StatusChange:
    change = message.status_changed
    # "from" is a keyword in Python.
    return info.StatusChange(status(getattr(change, "from")), status(change.to), failure(change))


def _logged(message: job_pb2.JobEvent) -> info.LoggedMessage:
    logged = message.message_logged
    return info.LoggedMessage(
        level=word(MessageLevel, job_pb2.JobMessageLogged.Level.DESCRIPTOR, logged.level, "LEVEL_"),
        text=logged.text,
        source=word(MessageSource, job_pb2.JobMessageLogged.Source.DESCRIPTOR, logged.source, "SOURCE_"),
    )


_DETAILS: Mapping[str, Callable[[job_pb2.JobEvent], info.EventDetail]] = {
    "status_changed": _status_change,
    "message_logged": _logged,
    "result_set": lambda message: info.ResultSet(message.result_set.name),
    "stop_changed": lambda message: info.StopChange(phase(message.stop_changed.phase)),
    "updated": lambda message: info.FieldsUpdated(tuple(message.updated.paths)),
    "messages_dropped": lambda message: info.MessagesDropped(message.messages_dropped.count),
}
