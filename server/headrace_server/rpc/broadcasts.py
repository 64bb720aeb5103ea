"""The bodies of broadcasts: the contract's JobEvent, as JSON or as protobuf."""

from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.json_format import MessageToJson

from headrace_server.domain.event import Event
from headrace_server.domain.job import Progress
from headrace_server.rpc import convert


def _json(event: Event) -> bytes:
    return MessageToJson(convert.job_event(event), indent=None, ensure_ascii=False).encode()


def _protobuf(event: Event) -> bytes:
    return convert.job_event(event).SerializeToString()


def progress_body(progress: Progress) -> bytes:
    """JobProgress as JSON."""
    return MessageToJson(convert.progress(progress), indent=None, ensure_ascii=False).encode()


FORMATS: Final[Mapping[str, tuple[str, Callable[[Event], bytes]]]] = {
    "json": ("application/json", _json),
    "protobuf": ("application/protobuf", _protobuf),
}
"""By name: the content type, and what makes the body of an event."""
