"""How long it takes until a no-op is known to be done on an idle system, beside celery with RabbitMQ.

    .venv/bin/python -m benchmarks.latency [no-ops in each repetition]

One after the other: Headrace by Client.run, which submits, watches and returns the job as it ended; celery by
delay().get() over its result backend rpc. Milliseconds, p50 and p99 of each repetition.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.celery_peer import VERSION, Celery
from benchmarks.noops import NOOP
from benchmarks.rabbitmq import broker
from benchmarks.report import show
from benchmarks.serving import serving
from headrace import Client

REPETITIONS = 3
WORKERS = 2
WARM = 50


def main(count: int) -> None:
    """Measure."""
    measured: dict[str, list[float]] = {
        f"{system} {quantile}": []
        for quantile in ("p50", "p99")
        for system in ("headrace", "celery", "celery / headrace")
    }
    with tempfile.TemporaryDirectory() as name, broker() as node:
        folder = Path(name)
        celery = Celery(folder, node.url)
        with celery.worker(WORKERS), serving(folder, workers=WORKERS) as address, Client(address) as client:
            for _ in range(REPETITIONS):
                ours = _quantiles(_latencies(client, WARM + count))
                theirs = _quantiles(celery.latencies(WARM + count))
                for quantile, mine, peer in zip(("p50", "p99"), ours, theirs, strict=True):
                    measured[f"headrace {quantile}"].append(mine)
                    measured[f"celery {quantile}"].append(peer)
                    measured[f"celery / headrace {quantile}"].append(peer / mine)
    show("latency", measured, jobs=count, workers=WORKERS, celery=VERSION)


def _latencies(client: Client, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        client.run(NOOP)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _quantiles(taken: list[float]) -> tuple[float, float]:
    """p50 and p99, the first calls left out: they make connections."""
    cuts = statistics.quantiles(taken[WARM:], n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
