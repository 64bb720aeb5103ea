"""The bodies of broadcasts: the contract's JobEvent, as JSON or as protobuf."""

from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.json_format import MessageToJson

from headrace_server.domain.event import Event
from headrace_server.rpc.convert import job_event


def _json(event: Event) -> bytes:
    return MessageToJson(job_event(event), indent=None, ensure_ascii=False).encode()


def _protobuf(event: Event) -> bytes:
    return job_event(event).SerializeToString()


FORMATS: Final[Mapping[str, tuple[str, Callable[[Event], bytes]]]] = {
    "json": ("application/json", _json),
    "protobuf": ("application/protobuf", _protobuf),
}
"""By name: the content type, and what makes the body of an event."""
