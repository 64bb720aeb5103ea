"""Tells a webhook of each job that has ended: a service that reacts to events, and misses none.

    HEADRACE_AMQP_URL=amqp://guest:guest@127.0.0.1 python notifier.py http://127.0.0.1:8080/jobs
    [TYPE ...]

What it has told of is in notifier.db, so it may be stopped and started at any time. A webhook that
fails is asked again, while other jobs go on. HEADRACE_TARGET is the server whose histories fill
gaps.
"""

import json
import logging
import signal
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator, MutableMapping

from headrace import Client
from headrace.events import EventConsumer
from headrace.info import JobEvent


class Positions(MutableMapping[str, int]):
    """How far each job has come, in a file. A real service has a table beside its own data."""

    def __init__(self, file: str) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS position (job_id PRIMARY KEY, revision, at DEFAULT CURRENT_TIMESTAMP)"
        )
        # A job that has said nothing for a month has ended.
        self._database.execute("DELETE FROM position WHERE at < datetime('now', '-30 days')")

    def __getitem__(self, job_id: str) -> int:
        row = self._database.execute("SELECT revision FROM position WHERE job_id = ?", (job_id,)).fetchone()
        if row is None:
            raise KeyError(job_id)
        return int(row[0])

    def __setitem__(self, job_id: str, revision: int) -> None:
        self._database.execute("REPLACE INTO position (job_id, revision) VALUES (?, ?)", (job_id, revision))

    def __delitem__(self, job_id: str) -> None:
        self._database.execute("DELETE FROM position WHERE job_id = ?", (job_id,))

    def __iter__(self) -> Iterator[str]:
        return (job_id for (job_id,) in self._database.execute("SELECT job_id FROM position"))

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM position").fetchone()[0])


def main(webhook: str, *types: str) -> None:
    """Consume until SIGTERM or Ctrl-C; the job in hand is told of first."""

    def tell(event: JobEvent) -> None:
        told = {"job_id": event.job_id, "type": event.type, "tenant": event.tenant, "status": event.status}
        body = json.dumps(told).encode()
        call = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310 - the operator's URL
        urllib.request.urlopen(call, timeout=10).close()  # noqa: S310 - raises unless it is a success

    with Client() as client:
        consumer = EventConsumer(
            "notifier",
            tell,
            statuses=["SUCCEEDED", "FAILED", "ABORTED"],
            types=types,
            client=client,
            positions=Positions("notifier.db"),
        )
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, lambda *_: consumer.stop())
        consumer.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(*sys.argv[1:])
