"""The envelope: CloudEvents in the headers of an AMQP 0-9-1 message, and the routing key.

CloudEvents' own binding is for AMQP 1.0; on 0-9-1 its attributes are headers `ce-…`, as over HTTP, and the id is the
message's id too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pika import DeliveryMode
from pika.spec import BasicProperties

from headrace_server.domain.broadcast import Broadcast
from headrace_server.domain.event import Event


@dataclass(frozen=True, slots=True)
class Envelope:
    """How broadcasts are written: source is their ce-source; encode gives the body, of content_type."""

    source: str
    content_type: str
    encode: Callable[[Event], bytes]

    def message(self, broadcast: Broadcast) -> tuple[str, BasicProperties, bytes]:
        """Routing key, properties and body."""
        event = broadcast.event
        kind = f"headrace.job.{event.kind.name.lower()}.v1"
        at = datetime.fromtimestamp(event.at // 1_000_000, UTC).replace(microsecond=event.at % 1_000_000)
        headers: dict[str, Any] = {
            "ce-specversion": "1.0",
            "ce-id": broadcast.id,
            "ce-source": self.source,
            "ce-type": kind,
            "ce-subject": event.job_id,
            "ce-time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "ce-tenant": event.tenant,
            "ce-jobtype": event.type,
            "ce-status": event.status.name,
            "ce-final": event.status.final,
            "ce-revision": event.revision,
            "ce-previousrevision": broadcast.previous,
        }
        properties = BasicProperties(
            message_id=broadcast.id,
            content_type=self.content_type,
            delivery_mode=DeliveryMode.Persistent,
            timestamp=event.at // 1_000_000,
            type=kind,
            app_id="headrace",
            headers=headers,
        )
        return routing_key(event), properties, self.encode(event)


def routing_key(event: Event) -> str:
    """job.<status>.<tenant>.<type>: always four words, since a dot within one is escaped."""
    return f"job.{event.status.name}.{word(event.tenant)}.{word(event.type)}"


def word(text: str) -> str:
    """A text as one word of a routing key: bytes of its UTF-8 outside A-Z a-z 0-9 _ - become %XX."""
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E")
