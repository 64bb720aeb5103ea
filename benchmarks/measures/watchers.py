"""P7: many watchers of one server: from an event to each client, and the memory of a stream."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice

from benchmarks.bench import ROOT, Bench
from benchmarks.figures import quantile
from benchmarks.load import processes
from benchmarks.measures.measure import MILLISECONDS, Measure, Unit
from benchmarks.runner import Figures, Variant
from benchmarks.systems.headrace import NOOP, Headrace
from headrace import Client

sys.path.append(str(ROOT / "tests"))
from support.watchers import Watchers  # the watchers of the tests

WATCHERS = 10_000
OF_ONE = 20
LIMIT = 120.0
P50, P99, MEMORY = "event to client p50", "event to client p99", "memory of a stream"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    count = bench.count(WATCHERS, 100)
    yield [Variant(f"{count:,} watchers", partial(_watch, bench, count))]


def _watch(bench: Bench, count: int) -> Figures:
    with (
        Headrace(bench, "SQLite").place() as place,
        place.server(workers=1) as server,
        Client(server.target) as client,
        Watchers(server.target) as watchers,
    ):
        jobs = [client.submit(NOOP, hold=True).job_id for _ in range(count // OF_ONE)]
        warm = watchers.open(list(islice(cycle(jobs), count // 10)))
        _until(lambda: watchers.answered() == warm)
        pids = [server.process.pid]
        before = processes.mebibytes(pids)
        watchers.open(list(islice(cycle(jobs), count - warm)))
        _until(lambda: watchers.answered() == count)
        each = (processes.mebibytes(pids) - before) * 1024 / (count - warm)
        for job_id in jobs:
            client.release(job_id)
        _until(lambda: watchers.ended() == count)
        delays = [1000 * delay for delay in watchers.delays(jobs)]
    return {P50: quantile(delays, 0.5), P99: quantile(delays, 0.99), MEMORY: each}


def _until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all watchers came so far within {LIMIT:g} s")
        time.sleep(0.1)


WATCH = Measure(
    "P7",
    "Many watchers of one server",
    {P50: MILLISECONDS, P99: MILLISECONDS, MEMORY: Unit("KiB", more_is_better=False)},
    _variants,
    over=(),
    notes=(
        f"{OF_ONE} watch each job, in one process with a connection for every 500.",
        "The jobs are released one after the other without a pause, and run.",
        "The delays include those of the process that reads all of the streams in Python.",
    ),
    reach="p99 250 ms, 50 KiB",
)
