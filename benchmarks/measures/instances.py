"""P9: what two instances on one PostgreSQL drain, beside one."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.load.submits import submit
from benchmarks.measures.measure import RATE, Measure
from benchmarks.runner import Figures, Variant
from benchmarks.systems.headrace import Headrace
from headrace import Client, JobStatus

NOOPS = "no-ops"
NAMES = ("1 instance", "2 instances")


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    count = bench.count(6000)
    yield [Variant(name, partial(_drain, bench, count, n)) for n, name in enumerate(NAMES, 1)]


def _drain(bench: Bench, count: int, instances: int) -> Figures:
    with Headrace(bench, "PostgreSQL").place() as place, ExitStack() as ends:
        with place.server(workers=0) as server:
            submit(server.target, count)
        for number in range(instances):
            server = ends.enter_context(place.server(workers=1, name=f"instance-{number}"))
        rate = place.clock.rate(count)
        with Client(server.target) as client:
            while client.count(statuses=JobStatus.SUCCEEDED).total < count:
                time.sleep(0.05)
        return {NOOPS: rate}


INSTANCES = Measure(
    "P9",
    "Drain by two instances on one PostgreSQL",
    {NOOPS: RATE},
    _variants,
    over=NAMES[1:],
    notes=(
        f"This machine has {os.cpu_count()} cores. Each instance has 1 worker; the second starts while the first works.",
        "On 2 cores it says little: one instance, its worker and PostgreSQL fill them. 4 cores or more are needed.",
    ),
    reach="1.6 x one instance, where there are cores for it",
)
