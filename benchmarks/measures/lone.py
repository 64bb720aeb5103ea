"""P4 and P5: one job on an idle system, until its code begins and until its end is known."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.figures import quantile
from benchmarks.measures.measure import MILLISECONDS, Measure
from benchmarks.runner import Figures, Variant
from benchmarks.systems.registry import HEADRACE, systems
from benchmarks.systems.system import System

QUANTILES = {"p50": 0.5, "p99": 0.99}


def _variants(part: str) -> Callable[[Bench], AbstractContextManager[Sequence[Variant]]]:
    @contextmanager
    def made(bench: Bench) -> Iterator[Sequence[Variant]]:
        count = bench.count(300)
        yield [Variant(system.name, partial(_lone, system, count, part)) for system in systems(bench)]

    return made


def _lone(system: System, count: int, part: str) -> Figures:
    times = [getattr(one, part) for one in system.lone(count)]
    return {name: quantile(times, share) for name, share in QUANTILES.items()}


_FIGURES = dict.fromkeys(QUANTILES, MILLISECONDS)
KNOWN = Measure(
    "P4",
    "A lone job: submit to known done",
    _FIGURES,
    _variants("done"),
    over=HEADRACE,
    notes=("The table of the systems says how each caller learns that a job is done.",),
    reach="ahead of celery at p50 and level at p99 on SQLite; ahead of procrastinate on PostgreSQL",
)
STARTED = Measure(
    "P5",
    "A lone job: submit to its code",
    _FIGURES,
    _variants("started"),
    over=HEADRACE,
    notes=("Every job notes the time at which its code begins on a page of shared memory.",),
    reach="2 ms at p50",
)
