"""The bodies of broadcasts."""

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson, Parse

from headrace.v1 import job_pb2
from headrace.wire import from_proto, map_from_proto
from headrace_server.codec import event_message
from headrace_server.codec.event_bodies import FORMATS
from headrace_server.domain.broadcast import Broadcast
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import ErrorKind, Status

EVENTS: list[tuple[EventKind, Status, Mapping[str, Any]]] = [
    (EventKind.CREATED, Status.QUEUED, {}),
    (EventKind.STATUS_CHANGED, Status.RUNNING, {"from": Status.TO_BE_RUN, "to": Status.RUNNING}),
    (EventKind.STATUS_CHANGED, Status.SUCCEEDED, {"from": Status.RUNNING, "to": Status.SUCCEEDED}),
    (
        EventKind.STATUS_CHANGED,
        Status.FAILED,
        {"from": 4, "to": 6, "error": {"kind": ErrorKind.EXCEPTION, "message": 'Grüße, "x"\n'}},
    ),
    (EventKind.MESSAGE_LOGGED, Status.RUNNING, {"level": 2, "source": 1, "text": "é"}),
    (EventKind.RESULT_SET, Status.RUNNING, {"name": "a"}),
    (EventKind.STOP_CHANGED, Status.RUNNING, {"phase": 1}),
    (EventKind.UPDATED, Status.QUEUED, {"paths": ["description"]}),
    (EventKind.MESSAGES_DROPPED, Status.RUNNING, {"count": 3}),
]


def test_every_kind_of_event_is_shown() -> None:
    """Each kind that the log holds is one of the contract, and each is shown as that."""
    shown = {}
    for kind, status, body in EVENTS:
        event = Event("one", "default", "some.type", 7, 1, 1, status, kind, body)
        shown[kind.name.lower()] = event_message.whole_event(event).WhichOneof("kind")
    assert shown == {kind.name.lower(): kind.name.lower() for kind in EventKind}
    assert shown.keys() == {field.name for field in job_pb2.JobEvent.DESCRIPTOR.oneofs_by_name["kind"].fields}


@pytest.mark.parametrize(("kind", "status", "body"), EVENTS)
@pytest.mark.parametrize("attempt", [0, 1, 70_000])
@pytest.mark.parametrize("at", [1_732_466_000_000_000, 1_732_466_000_120_000, 1_732_466_000_771_121])
def test_json_is_the_mapping_of_protobuf(
    kind: EventKind, status: Status, body: Mapping[str, Any], attempt: int, at: int
) -> None:
    """The JSON of an event is, byte by byte, what protobuf makes of the contract's message, for
    each of two jobs.
    """
    encode = FORMATS["json"][1]
    for job_id, tenant in (("one", "default"), ("two", 'Zürich "a"\\')):
        event = Event(job_id, tenant, "some.type", 7, at, attempt, status, kind, body)
        message = event_message.job_event(event)
        written = encode(Broadcast(event, 0, 1))
        assert written.decode() == MessageToJson(message, indent=None, ensure_ascii=False)
        assert Parse(written, job_pb2.JobEvent()) == message


@pytest.mark.parametrize("form", FORMATS)
def test_a_payload_is_never_lost_to_the_fast_way(form: str) -> None:
    """An event with parameters or results carries them, whatever was written of one like it before."""

    def read(which: int, payload: str | None) -> job_pb2.JobEvent:
        kind, status, body = EVENTS[which]
        event = Event("one", "default", "some.type", 7, 1, 1, status, kind, body)
        written = FORMATS[form][1](Broadcast(event, 0, 1, payload=payload))
        return Parse(written, job_pb2.JobEvent()) if form == "json" else job_pb2.JobEvent.FromString(written)

    assert not read(0, None).created.payload_included
    assert map_from_proto(read(0, '{"a":1}').created.parameters, "") == {"a": 1}
    assert not read(2, None).status_changed.payload_included
    ended = read(2, '{"":[1],"b":[null]}').status_changed
    assert (from_proto(ended.result), map_from_proto(ended.results, "")) == ([1], {"b": [None]})
    assert [read(0, "{}").created.payload_included, ended.payload_included] == [True, True]
