"""P2: jobs in batches of 1,000."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.load.submits import IN_FLIGHT
from benchmarks.measures.measure import RATE, Measure
from benchmarks.runner import Figures, Variant
from benchmarks.systems.registry import HEADRACE, systems
from benchmarks.systems.system import System

SIZE = 1000
JOBS = "jobs"
PEERS_WITH_BATCHES = frozenset({"procrastinate", "pgqueuer"})
LONE_CALLS = "Headrace, SQLite (single submits, 50 in flight)"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    found = {system.name: system for system in systems(bench)}
    count = bench.count(20_000, SIZE)
    yield [
        *(Variant(name, partial(_batches, found[name], count)) for name in HEADRACE),
        Variant(LONE_CALLS, partial(_single, found[HEADRACE[0]], bench.count(2000))),
        Variant("huey (single submits)", partial(_single, found["huey"], bench.count(2000), 1)),
        *(Variant(name, partial(_batches, found[name], count)) for name in sorted(PEERS_WITH_BATCHES)),
    ]


def _single(system: System, count: int, in_flight: int = IN_FLIGHT) -> Figures:
    return {JOBS: system.submits(count, in_flight)}


def _batches(system: System, count: int) -> Figures:
    rate = system.batches(count, SIZE)
    if rate is None:
        raise RuntimeError(f"{system.name} has no call that takes a batch")
    return {JOBS: rate}


BATCH = Measure(
    "P2",
    "Batches of 1,000 jobs",
    {JOBS: RATE},
    _variants,
    over=(LONE_CALLS,),
    notes=(
        "One batch after the other (BatchSubmitJobs), each whole on disk when it is answered.",
        "celery, dramatiq and huey have no call that takes a batch: theirs would be the rows of P1.",
    ),
    reach="20,000 jobs/s on SQLite; ahead of procrastinate and 0.7 of pgqueuer on PostgreSQL",
)
