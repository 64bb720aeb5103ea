"""Messages as a server broadcasts them, made by hand: of the contract's stubs and docs/events.md,
not of the server's code.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from headrace.v1 import job_pb2

NOON = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
FINAL = ("SUCCEEDED", "FAILED", "ABORTED")


@dataclass(frozen=True)
class Message:
    """What a client of any library gets. key: the routing key."""

    key: str
    headers: dict[str, Any]
    content_type: str
    body: bytes


def message(
    job_id: str,
    revision: int,
    previous: int | None = None,
    *,
    status: str = "RUNNING",
    tenant: str = "default",
    job_type: str = "demo",
    words: tuple[str, str] | None = None,
    protobuf: bool = False,
    **kind: dict[str, Any],
) -> Message:
    """An event: a change to this status, if no kind is given. previous: the revision before, if
    none is given. words: escaped.
    """
    detail = kind or {"status_changed": {"to": f"JOB_STATUS_{status}"}}
    event = job_pb2.JobEvent(
        job_id=job_id,
        tenant=tenant,
        type=job_type,
        revision=revision,
        event_time=NOON,
        attempt=1,
        status=f"JOB_STATUS_{status}",  # type: ignore[arg-type] # protobuf takes its name
        final=status in FINAL,
        **detail,  # type: ignore[arg-type] # a dict becomes a message
    )
    body = event.SerializeToString() if protobuf else json_format.MessageToJson(event, indent=None).encode()
    of_tenant, of_type = words or (tenant, job_type)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": f"{job_id}/{revision}",
        "ce-source": "/headrace",
        "ce-type": f"headrace.job.{event.WhichOneof('kind')}.v1",
        "ce-subject": job_id,
        "ce-time": "2026-11-24T12:00:00.250000Z",
        "ce-tenant": tenant,
        "ce-jobtype": job_type,
        "ce-status": status,
        "ce-final": status in FINAL,
        "ce-revision": revision,
        "ce-previousrevision": revision - 1 if previous is None else previous,
    }
    content_type = "application/protobuf" if protobuf else "application/json"
    return Message(f"job.{status}.{of_tenant}.{of_type}", headers, content_type, body)
