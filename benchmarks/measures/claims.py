"""P6: what a claim costs with few jobs and with very many: queued ones before it, finished ones
beside it.

Two databases, one with 1,000 queued jobs and as many finished, one with very many, are claimed from
in turn, and what was claimed goes back to its queue. A time is a claim through the store with its
COMMIT, which is not synced: a disk would hide the difference. The plans of the queries on the large
one are printed.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final, NamedTuple

from benchmarks.bench import Bench
from benchmarks.load.tables import OTHERS, fill
from benchmarks.measures.measure import MILLISECONDS, Measure
from benchmarks.report.plans import explained, show
from benchmarks.runner import Figures, Variant
from headrace_server.domain import running
from headrace_server.domain.gate import Gate, Scope
from headrace_server.domain.ports.claims import ClaimRequest, FreeSlot
from headrace_server.store import SqlStore

FEW: Final = 1000
QUEUED: Final = 200_000
FINISHED: Final = 2_000_000
"""A fifth of what is promised for: 10,000,000 rows take longer to make than all else to measure.

SCALE=5 makes them.
"""
CLAIMS: Final = 40
ME: Final = "benchmark"
SMALL, LARGE = "few jobs", "many jobs"


class Case(NamedTuple):
    """A queue, and how many slots a claim has."""

    name: str
    queue: str
    slots: int


CASES: Final = (
    Case("1 slot", "plain", 1),
    Case("16 slots", "plain", 16),
    Case("1 slot, 1,000 tenants", "many", 1),
    Case("16 slots, 1,000 tenants", "many", 16),
    Case("1 slot, an owner at the limit in front", "limited", 1),
    Case("16 slots, an owner at the limit in front", "limited", 16),
)


def _variants(database: str) -> Callable[[Bench], AbstractContextManager[Sequence[Variant]]]:
    @contextmanager
    def made(bench: Bench) -> Iterator[Sequence[Variant]]:
        least = 4 * (OTHERS + 1)
        with _url(bench, database) as few, _url(bench, database) as many:
            fill(few, FEW, FEW)
            began = time.perf_counter()
            queued, finished = bench.count(QUEUED, least), bench.count(FINISHED, least)
            fill(many, queued, finished)
            took = time.perf_counter() - began
            print(f"  {queued:,} queued and {finished:,} finished in {took:.0f} s", file=sys.stderr)
            for url in (few, many):
                asyncio.run(_limit(url))
            yield [
                Variant(f"{SMALL}: {FEW:,} queued, {FEW:,} finished", partial(_measure, few)),
                Variant(f"{LARGE}: {queued:,} queued, {finished:,} finished", partial(_measure, many)),
            ]
            asyncio.run(_plans(many))

    return made


@contextmanager
def _url(bench: Bench, database: str) -> Iterator[str]:
    if database == "PostgreSQL":
        with bench.database() as url:
            yield url
    else:
        with bench.folder() as folder:
            yield f"sqlite:///{folder}/jobs.db"


def _open(url: str) -> SqlStore:
    return SqlStore.open(url, durable=False, max_waiting=10**9)


async def _limit(url: str) -> None:
    """The owner of most of the jobs runs one, and may run no more."""
    store = _open(url)
    await store.change_gate(Gate(Scope.QUEUE, "limited"), {"max_running_per_owner": 1})
    await store.claim(_request(Case("", "limited", 1)))
    await store.close()


def _measure(url: str) -> Figures:
    return asyncio.run(_round(url))


async def _round(url: str) -> Figures:
    store = _open(url)
    figures = {}
    for case in CASES:
        await _claim(store, case)  # the first warms up
        times = [await _claim(store, case) for _ in range(CLAIMS)]
        figures[case.name] = 1000 * statistics.median(times)
    await store.close()
    return figures


async def _plans(url: str) -> None:
    store = _open(url)
    with explained() as plans:
        for queue in ("many", "limited"):
            await _claim(store, Case("plan", queue, 4))
    show(plans, LARGE)
    await store.close()


async def _claim(store: SqlStore, case: Case) -> float:
    """Seconds that a claim takes. The jobs that it took go back."""
    began = time.perf_counter()
    claimed = await store.claim(_request(case))
    taken = time.perf_counter() - began
    if len(claimed) != case.slots:
        raise RuntimeError(f"{case.name}: there were {len(claimed)} jobs for {case.slots} slots")
    back = [
        (one.job.job_id, partial(running.return_permit, claim=one.job.claim, instance=ME)) for one in claimed
    ]
    await asyncio.gather(*(store.apply(job_id, decision) for job_id, decision in back))
    return taken


def _request(case: Case) -> ClaimRequest:
    slots = [FreeSlot(f"worker-{number}", permit=True) for number in range(case.slots)]
    return ClaimRequest(ME, slots, frozenset({"t"}), frozenset({case.queue}))


def _measure_on(database: str, number: str) -> Measure:
    return Measure(
        number,
        f"A claim from long queues, {database}",
        {case.name: MILLISECONDS for case in CASES},
        _variants(database),
        over=(f"{SMALL}: {FEW:,} queued, {FEW:,} finished",),
        notes=(
            "The promise is for 1,000,000 queued and 10,000,000 finished jobs; the row says how many were there.",
            "A claim with its COMMIT, not synced: a disk would hide the difference. Medians of 40 claims a round.",
            "A quarter of the queued jobs is of 1,000 tenants (of the few: 250), a quarter has an owner at the limit.",
        ),
        reach="1.5 x at most",
    )


CLAIMS_SQLITE = _measure_on("SQLite", "P6")
CLAIMS_POSTGRESQL = _measure_on("PostgreSQL", "P6-postgresql")
