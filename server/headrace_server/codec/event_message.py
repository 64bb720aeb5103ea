"""An event of a job as the contract shows it."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from headrace.v1 import job_pb2
from headrace_server.codec.fitting import left_out
from headrace_server.codec.times import timestamp
from headrace_server.domain.event import Event, EventKind


def job_event(event: Event) -> job_pb2.JobEvent:
    """An event of the log; without its kind and what that tells, where that cannot be shown."""
    try:
        return whole_event(event)
    except Exception as error:  # noqa: BLE001 - whatever it holds, the history goes on behind it
        left_out(event.job_id, f"event {event.revision}", error)
        return _which_event(event)


def whole_event(event: Event) -> job_pb2.JobEvent:
    """An event of the log. Raises whatever it may be where that cannot be shown."""
    message = _which_event(event)
    message.event_time.CopyFrom(timestamp(event.at))
    _set_kind(message, event.kind, event.body)
    return message


def _which_event(event: Event) -> job_pb2.JobEvent:
    return job_pb2.JobEvent(
        job_id=event.job_id,
        tenant=event.tenant,
        type=event.type,
        revision=event.revision,
        attempt=event.attempt,
        status=int(event.status),  # type: ignore[arg-type] # the numbers are the contract's
        final=event.status.final,
    )


def _set_kind(message: job_pb2.JobEvent, kind: EventKind, body: Mapping[str, Any]) -> None:
    match kind:
        case EventKind.CREATED:
            message.created.SetInParent()
        case EventKind.STATUS_CHANGED:
            changed = message.status_changed
            setattr(changed, "from", body["from"])
            changed.to = body["to"]
            if "error" in body:
                _add_known(changed.error, body["error"])
        case EventKind.MESSAGE_LOGGED:
            _add_known(message.message_logged, body)
        case EventKind.RESULT_SET:
            message.result_set.name = body["name"]
            message.result_set.SetInParent()
        case EventKind.STOP_CHANGED:
            message.stop_changed.phase = body["phase"]
        case EventKind.UPDATED:
            message.updated.paths.extend(body["paths"])
        case EventKind.MESSAGES_DROPPED:
            message.messages_dropped.count = body["count"]


def _add_known(message: Message, body: Mapping[str, Any]) -> None:
    """The fields of a record that this version knows."""
    message.SetInParent()
    known = message.DESCRIPTOR.fields_by_name
    message.MergeFrom(type(message)(**{name: value for name, value in body.items() if name in known}))
