"""How fast a queue of no-ops is worked off by 2 processes, beside celery with RabbitMQ, confirms and prefork 2.

    .venv/bin/python -m benchmarks.drain [no-ops in each repetition]

Everything is queued before a worker is started. Counted is the time from the start of the first no-op to the end of
the last: for Headrace by the times that it has stored, for celery by the clocks of its worker processes. Celery
keeps no results here and acknowledges before it runs; Headrace keeps every transition on disk.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.celery_peer import VERSION, Celery
from benchmarks.clock import Clock
from benchmarks.load import submit
from benchmarks.rabbitmq import broker
from benchmarks.report import show
from benchmarks.serving import serving
from headrace import Client, JobStatus

REPETITIONS = 3
WORKERS = 2
POLL = 0.2


def main(count: int) -> None:
    """Measure."""
    measured: dict[str, list[float]] = {"headrace/s": [], "celery/s": [], "headrace / celery": []}
    with tempfile.TemporaryDirectory() as name, broker() as node:
        celery = Celery(Path(name), node.url)
        for _ in range(REPETITIONS):
            peer = count / _celery_seconds(celery, count)
            rate = count / _headrace_seconds(count)
            for figure, value in zip(measured.values(), (rate, peer, rate / peer), strict=True):
                figure.append(value)
    show("drain", measured, jobs=count, workers=WORKERS, celery=VERSION)


def _celery_seconds(celery: Celery, count: int) -> float:
    celery.publish(count)
    celery.clock.unlink()
    clock = Clock(celery.clock)
    with celery.worker(WORKERS):
        while (runs := clock.runs()).count < count:
            time.sleep(POLL)
    return runs.last - runs.first


def _headrace_seconds(count: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder, workers=0) as address:
            asyncio.run(submit(address, count))
        with serving(folder, workers=WORKERS) as address, Client(address) as client:
            while client.count(statuses=JobStatus.SUCCEEDED).total < count:
                time.sleep(POLL)
            jobs = list(client.list(page_size=1000))
    starts = [job.start_time for job in jobs if job.start_time]
    ends = [job.end_time for job in jobs if job.end_time]
    return (max(ends) - min(starts)).total_seconds()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
