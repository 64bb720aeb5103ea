"""Turns a message into an event of a job.

It needs neither a broker nor pika: every AMQP library has headers, a content type and a body.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from headrace._events.errors import InvalidBroadcast
from headrace._requests import event_message
from headrace.info import JobEvent
from headrace.v1 import job_pb2

JSON = "application/json"
PROTOBUF = "application/protobuf"
_TYPE = re.compile(r"headrace\.job\.[a-z_]+\.v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """An event of a job's history as it was broadcast, and its place among those broadcast."""

    id: str
    """The same for every copy of the message: the job's id, a slash, the revision."""
    source: str
    """Which Headrace sent it: its setting events_source."""
    event: JobEvent
    """The event, as a watch of the job and its history show it."""
    previous_revision: int
    """The revision of the job's event that was broadcast before this one; 0: there was none."""


def decode(headers: Mapping[str, Any] | None, body: bytes, content_type: str | None = JSON) -> Broadcast:
    """Reads a message: its headers, its body, and its property content_type.

    What a newer Headrace says and this client does not know is left out, or UNKNOWN. Raises
    InvalidBroadcast for what is no event of Headrace.
    """
    given = {name: _text(value) for name, value in (headers or {}).items()}
    if given.get("ce-specversion") != "1.0" or not _TYPE.fullmatch(str(given.get("ce-type"))):
        raise InvalidBroadcast(
            "The message is no event of Headrace: its headers ce-specversion and ce-type do not say so."
        )
    message = _event(body, content_type)
    identity = f"{message.job_id}/{message.revision}"
    if given.get("ce-id") != identity:
        raise InvalidBroadcast(
            f"The message is damaged: ce-id is {given.get('ce-id')}, its body is {identity}."
        )
    previous = given.get("ce-previousrevision")
    if not isinstance(previous, int) or not 0 <= previous < message.revision:
        raise InvalidBroadcast(f"Event {identity} is damaged: ce-previousrevision is {previous!r}.")
    return Broadcast(
        id=identity,
        source=str(given.get("ce-source", "")),
        event=event_message.event(message),
        previous_revision=previous,
    )


def _event(body: bytes, content_type: str | None) -> job_pb2.JobEvent:
    message = job_pb2.JobEvent()
    kind = (content_type or "").partition(";")[0].strip().lower()
    try:
        if kind == JSON:
            # A newer server may have fields and words that this client does not know.
            json_format.Parse(body, message, ignore_unknown_fields=True)
        elif kind == PROTOBUF:
            message.ParseFromString(body)
        else:
            raise InvalidBroadcast(
                f"The content type of an event is {JSON} or {PROTOBUF}, not {content_type!r}."
            )
    except (json_format.ParseError, DecodeError, UnicodeDecodeError) as error:
        raise InvalidBroadcast(f"The body of the event cannot be read as {kind}: {error}") from error
    return message


def _text(value: Any) -> Any:
    """Some libraries leave text as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
