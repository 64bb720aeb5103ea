"""P3: how fast a queue of no-ops is worked off by 2 processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measures.measure import RATE, Measure
from benchmarks.runner import Figures, Variant
from benchmarks.systems.registry import HEADRACE, systems
from benchmarks.systems.system import System

NOOPS = "no-ops"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    count = bench.count(8000)
    yield [Variant(system.name, partial(_drain, system, count)) for system in systems(bench)]


def _drain(system: System, count: int) -> Figures:
    return {NOOPS: system.drain(count)}


DRAIN = Measure(
    "P3",
    "Drain of queued no-ops",
    {NOOPS: RATE},
    _variants,
    over=HEADRACE,
    notes=(
        "All no-ops are queued before a worker starts. The time is from the first run to the last.",
        "The no-ops of every system note when they run on the same kind of page of shared memory.",
    ),
    reach="3 x celery and 0.9 x dramatiq on SQLite; ahead of procrastinate and 1.5 x celery on PostgreSQL",
)
