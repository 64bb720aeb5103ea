"""P8: how much a job is slowed that reports its progress all the while, and what the store writes
of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measures.measure import Measure, Unit
from benchmarks.runner import Figures, Variant
from benchmarks.systems.headrace import Headrace
from headrace import Client

SECONDS = 3.0
RATE = 10_000
JOBS = "benchmarks.load.waiting"
STEPS, EVENTS = "steps", "events of the job"
SILENT, REPORTING = "a job that reports nothing", f"one that reports {RATE:,} times a second"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    yield [
        Variant(SILENT, partial(_compute, bench, 0)),
        Variant(REPORTING, partial(_compute, bench, RATE)),
    ]


def _compute(bench: Bench, rate: int) -> Figures:
    with (
        Headrace(bench, "SQLite").place() as place,
        place.server(workers=1, jobs=JOBS) as server,
        Client(server.target) as client,
    ):
        handle = client.submit("bench.reports", {"seconds": SECONDS, "rate": rate})
        steps = handle.result(60)
        return {
            STEPS: steps / SECONDS,
            EVENTS: float(sum(1 for _ in client.events(handle.job_id))),
        }


PROGRESS = Measure(
    "P8",
    "A job beside its own progress",
    {STEPS: Unit("/s", more_is_better=True), EVENTS: Unit("", more_is_better=False)},
    _variants,
    over=(REPORTING,),
    notes=(
        "What the calls themselves cost the job is in its steps: it makes all 10,000 alone.",
        f"Each computes in Python for {SECONDS:g} s; at the default interval progress is stored once a second.",
    ),
    reach="no job slowed by more than 5 %, one write for each interval",
)
