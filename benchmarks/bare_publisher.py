"""What the relay is measured beside: pika's SelectConnection with confirms, and nothing else to do.

    python -m benchmarks.bare_publisher URL EXCHANGE COUNT

Its messages are like events: as large, persistent, mandatory, with as many headers; so many are
under way at most.
"""

import sys
import uuid
from itertools import takewhile
from typing import Any

import pika
from pika.adapters.select_connection import SelectConnection

UNDER_WAY = 4000
BODY = b'{"jobId": "01a20db0-3262-7782-beb2-312a798bb78f", "tenant": "default", "type": "bench.noop", "revision": "1", "eventTime": "2026-11-24T13:13:00.771121Z", "status": "JOB_STATUS_QUEUED", "created": {}}'


class Publisher:
    """Publishes so many, and ends its loop when the last is confirmed."""

    def __init__(self, url: str, exchange: str, count: int) -> None:
        self._exchange = exchange
        self._count = count
        self._tag = 0
        self._unconfirmed: dict[int, str] = {}
        self._channel: Any = None
        self.connection = SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
        )

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._confirm, callback=lambda _frame: self._send())

    def _send(self) -> None:
        while self._tag < self._count and len(self._unconfirmed) < UNDER_WAY:
            self._tag += 1
            job_id = str(uuid.uuid4())
            headers = {
                "ce-specversion": "1.0", "ce-id": f"{job_id}/1", "ce-source": "/headrace",
                "ce-type": "headrace.job.created.v1", "ce-subject": job_id, "ce-time": "2026-11-24T13:13:00.771121Z",
                "ce-tenant": "default", "ce-jobtype": "bench.noop", "ce-status": "QUEUED", "ce-final": False,
                "ce-revision": 1, "ce-previousrevision": 0,
            }  # fmt: skip
            properties = pika.BasicProperties(
                message_id=f"{job_id}/1", content_type="application/json", delivery_mode=2, headers=headers
            )
            self._unconfirmed[self._tag] = job_id
            self._channel.basic_publish(
                self._exchange, "job.QUEUED.default.bench%2Enoop", BODY, properties, mandatory=True
            )

    def _confirm(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        several = frame.method.multiple
        for one in list(takewhile(lambda tag_: tag_ <= tag, self._unconfirmed)) if several else [tag]:
            del self._unconfirmed[one]
        self._send()
        if not self._unconfirmed:
            self.connection.ioloop.stop()


if __name__ == "__main__":
    Publisher(sys.argv[1], sys.argv[2], int(sys.argv[3])).connection.ioloop.start()
