"""P12: coroutines that wait, a thousand to a worker, beside a bare asyncio program."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measures.measure import RATE, Measure
from benchmarks.runner import Figures, Variant
from benchmarks.systems.headrace import DATABASES, WORKERS, Headrace
from benchmarks.systems.registry import HEADRACE
from headrace import Client
from headrace.options import NewJob

JOBS, TYPE = "benchmarks.load.coroutines", "bench.pauses"
SECONDS, SHARING = 1.0, 1000
ENDED = "jobs"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    count = bench.count(10_000)
    yield [
        Variant("bare asyncio", partial(_bare, count)),
        *(Variant(f"Headrace, {name}", partial(_shared, Headrace(bench, name), count)) for name in DATABASES),
    ]


def _bare(count: int) -> Figures:
    async def run() -> float:
        limit = asyncio.Semaphore(WORKERS * SHARING)

        async def pause() -> None:
            async with limit:
                await asyncio.sleep(SECONDS)

        began = time.perf_counter()
        await asyncio.gather(*(pause() for _ in range(count)))
        return time.perf_counter() - began

    return {ENDED: count / asyncio.run(run())}


def _shared(system: Headrace, count: int) -> Figures:
    with system.place() as place:
        with place.server(workers=0, jobs=JOBS) as server, Client(server.target) as client:
            client.submit_many(NewJob(TYPE) for _ in range(count))
        with place.server(workers=WORKERS, jobs=JOBS):
            place.clock.rate(2 * count)
            runs = place.clock.runs()
            return {ENDED: count / (runs.last - runs.first)}


COROUTINES = Measure(
    "P12",
    "Coroutines that wait a second",
    {ENDED: RATE},
    _variants,
    over=HEADRACE,
    notes=(
        "10,000 of them, 2 workers with 1,000 runs each; the bare program has a semaphore of 2,000.",
        "All are queued before a worker starts. The time is from the first begin to the last end.",
    ),
    reach="1.3 x the time of the bare program: a ratio of 0.77",
)
