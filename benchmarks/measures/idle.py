"""P11: what a server costs that has nothing to do."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.load import processes
from benchmarks.measures.measure import Measure, Unit
from benchmarks.runner import Figures, Variant
from benchmarks.systems.headrace import DATABASES, NOOP, WORKERS, Headrace
from headrace import Client

SETTLE, WATCHED = 3.0, 5.0
PROCESSOR, MEMORY = "processor", "memory"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    yield [Variant(f"Headrace, {database}", partial(_idle, bench, database)) for database in DATABASES]


def _idle(bench: Bench, database: str) -> Figures:
    with Headrace(bench, database).place() as place, place.server(workers=WORKERS) as server:
        with Client(server.target) as client:
            client.run(NOOP)
        time.sleep(SETTLE)
        pids = processes.tree(server.process.pid)
        before = processes.seconds(pids)
        time.sleep(WATCHED)
        return {
            PROCESSOR: 100 * (processes.seconds(pids) - before) / WATCHED,
            MEMORY: processes.mebibytes(pids),
        }


IDLE = Measure(
    "P11",
    "An idle server with 2 workers",
    {
        PROCESSOR: Unit("% of a core", more_is_better=False),
        MEMORY: Unit("MiB", more_is_better=False),
    },
    _variants,
    over=(),
    notes=(
        f"The server with its supervisor and workers, {WATCHED:g} s long, {SETTLE:g} s after a job.",
        "The kernel counts processor time in steps of 10 ms. Shared memory is counted once (PSS).",
    ),
    reach="1 % of a core, 200 MiB",
)
