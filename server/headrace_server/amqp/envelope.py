"""The envelope: CloudEvents in the headers of an AMQP 0-9-1 message, and the routing key.

CloudEvents' own binding is for AMQP 1.0; on 0-9-1 its attributes are headers `ce-…`, as over HTTP,
and the id is the message's id too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from pika import DeliveryMode
from pika.spec import BasicProperties

from headrace.routing import key_word
from headrace_server.domain.broadcast import Broadcast
from headrace_server.domain.event import Event
from headrace_server.domain.job import Job, Progress

_word = lru_cache(maxsize=1024)(key_word)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The form in which broadcasts are written as messages.

    `source` is their ce-source. `encode` gives the body of a broadcast, of `content_type`.

    Progress is always JSON.
    """

    source: str
    content_type: str
    encode: Callable[[Broadcast], bytes]
    encode_progress: Callable[[Progress], bytes]

    def message(self, broadcast: Broadcast) -> tuple[str, BasicProperties, bytes]:
        """Routing key, properties and body."""
        event = broadcast.event
        more: dict[str, int | str] = {
            "ce-final": event.status.final,
            "ce-revision": event.revision,
            "ce-previousrevision": broadcast.previous,
        }
        if broadcast.traceparent:
            more["ce-traceparent"] = broadcast.traceparent
        properties = self._properties(broadcast.id, event.kind.name.lower(), event, event.at, **more)
        properties.content_type = self.content_type
        properties.delivery_mode = DeliveryMode.Persistent.value
        return routing_key(event), properties, self.encode(broadcast)

    def progress(self, job: Job, progress: Progress) -> tuple[str, BasicProperties, bytes]:
        """Routing key, properties and body: of no revision, and not kept by the broker."""
        at = progress.update_time
        properties = self._properties(f"{job.job_id}/progress/{at}", "progress", job, at)
        properties.content_type = "application/json"
        properties.delivery_mode = DeliveryMode.Transient.value
        return (
            f"progress.{_word(job.tenant)}.{_word(job.type)}",
            properties,
            self.encode_progress(progress),
        )

    def _properties(
        self, name: str, kind: str, of: Event | Job, at: int, **more: int | str
    ) -> BasicProperties:
        time = datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000, tzinfo=None)
        return BasicProperties(
            message_id=name,
            timestamp=at // 1_000_000,
            type=f"headrace.job.{kind}.v1",
            app_id="headrace",
            headers={
                "ce-specversion": "1.0",
                "ce-id": name,
                "ce-source": self.source,
                "ce-type": f"headrace.job.{kind}.v1",
                "ce-subject": of.job_id,
                "ce-time": f"{time.isoformat(timespec='microseconds')}Z",
                "ce-tenant": of.tenant,
                "ce-jobtype": of.type,
                "ce-status": of.status.name,
                **more,
            },
        )


def routing_key(event: Event) -> str:
    """job.<status>.<tenant>.<type>: always four words, since a dot within one is escaped."""
    return f"job.{event.status.name}.{_word(event.tenant)}.{_word(event.type)}"
