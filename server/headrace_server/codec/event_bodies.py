"""The bodies of broadcasts: the contract's JobEvent, as JSON or as protobuf."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, MessageToJson

from headrace.v1 import job_pb2
from headrace.wire import map_to_proto, to_proto
from headrace_server.codec import event_message, job_message
from headrace_server.codec.fitting import left_out
from headrace_server.codec.times import timestamp
from headrace_server.domain.broadcast import Broadcast
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Progress, Status

_PLAIN: Final = frozenset({EventKind.CREATED, EventKind.STATUS_CHANGED})
_dumps: Final = json.JSONEncoder(ensure_ascii=False).encode


def _json(broadcast: Broadcast) -> bytes:
    """Return the protobuf JSON mapping of a broadcast.

    Most events differ from others in a few fields only. These are put into what was mapped once,
    which is three times as fast.
    """
    event = broadcast.event
    if event.kind in _PLAIN and "error" not in event.body and broadcast.payload is None:
        with suppress(Exception):  # one that cannot be shown whole is shown in part below
            return _fast_json(event)
    return MessageToJson(_message(broadcast), indent=None, ensure_ascii=False).encode()


def _fast_json(event: Event) -> bytes:
    own = {
        "jobId": event.job_id,
        "tenant": event.tenant,
        "type": event.type,
        "revision": str(event.revision),
        "eventTime": timestamp(event.at).ToJsonString(),
    }
    return _dumps(_pattern(event.kind, event.status, event.attempt, *event.body.items()) | own).encode()


@lru_cache(maxsize=1024)
def _pattern(kind: EventKind, status: Status, attempt: int, *body: tuple[str, int]) -> dict[str, Any]:
    """The mapping of an event whose fields of its own are any."""
    event = Event("-", "-", "-", 1, 1, attempt, status, kind, dict(body))
    return MessageToDict(event_message.whole_event(event))


def _protobuf(broadcast: Broadcast) -> bytes:
    return _message(broadcast).SerializeToString()


def _message(broadcast: Broadcast) -> job_pb2.JobEvent:
    """The event as a watch shows it, and what was broadcast beside it."""
    message = event_message.job_event(broadcast.event)
    if broadcast.payload is None:
        return message
    try:
        _add_payload(message, broadcast.event, broadcast.payload)
    except Exception as error:  # noqa: BLE001 - the event itself goes out, and those behind it
        left_out(broadcast.event.job_id, f"payload of event {broadcast.event.revision}", error)
        return event_message.job_event(broadcast.event)
    return message


def _add_payload(message: job_pb2.JobEvent, event: Event, payload: str) -> None:
    beside = message.created if event.kind is EventKind.CREATED else message.status_changed
    beside.payload_included = True
    values = json.loads(payload)
    if isinstance(beside, job_pb2.JobCreated):
        map_to_proto(beside.parameters, values)
    else:
        if "" in values:
            beside.result.CopyFrom(to_proto(values.pop("")))
        map_to_proto(beside.results, values)


def progress_body(progress: Progress) -> bytes:
    """JobProgress as JSON."""
    return MessageToJson(job_message.progress(progress), indent=None, ensure_ascii=False).encode()


FORMATS: Final[Mapping[str, tuple[str, Callable[[Broadcast], bytes]]]] = {
    "json": ("application/json", _json),
    "protobuf": ("application/protobuf", _protobuf),
}
"""By name: the content type, and what makes the body of an event."""
