"""What a claim costs with few jobs and with very many: queued ones before it, as many finished ones beside it.

    .venv/bin/python -m benchmarks.claims [queued jobs, 1000000] [sqlite|postgresql …]

Two databases of each kind, one with 1,000 queued jobs and as many finished, one with as many as was asked for, are
claimed from in turn, and what was claimed goes back to its queue. A time is a claim through the store with its COMMIT,
which is not synced: a disk would hide the difference. Shown are milliseconds, and how many times as long the claim from
the many takes; then the plans of its queries. PostgreSQL is the tests' own, or the server that HEADRACE_TEST_POSTGRESQL_URL names.
"""

import asyncio
import contextlib
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from benchmarks.claims_plans import explained
from benchmarks.claims_plans import show as show_plans
from benchmarks.claims_tables import OTHERS, fill
from benchmarks.report.printed import show
from benchmarks.serving import ROOT
from headrace_server.domain import running
from headrace_server.domain.gate import Gate, Scope
from headrace_server.domain.ports.claims import ClaimRequest, FreeSlot
from headrace_server.store import SqlStore

FEW: Final = 1000
REPETITIONS: Final = 5
CLAIMS: Final = 40
ME: Final = "benchmark"


class Case(NamedTuple):
    """A queue, and how many slots a claim has."""

    name: str
    queue: str
    slots: int


CASES: Final = (
    Case("1 slot", "plain", 1),
    Case("16 slots", "plain", 16),
    Case("16 slots, 1,000 tenants", "many", 16),
    Case("1 slot, an owner at his limit in front", "limited", 1),
    Case("16 slots, an owner at his limit in front", "limited", 16),
)


def main(count: int, databases: Sequence[str]) -> None:
    """Measure."""
    for database in databases:
        with _urls(database) as (few, many):
            fill(few, FEW)
            began = time.perf_counter()
            fill(many, count)
            print(
                f"{database}: {count:,} queued jobs and as many finished in {time.perf_counter() - began:.0f} s"
            )
            measured = asyncio.run(_measure(few, many))
        show("claims", measured, database=database, few=FEW, many=count, claims=CLAIMS)


@contextlib.contextmanager
def _urls(database: str) -> Iterator[tuple[str, str]]:
    if database == "sqlite":
        with tempfile.TemporaryDirectory() as name:
            yield f"sqlite:///{name}/few.db", f"sqlite:///{name}/many.db"
        return
    sys.path.append(str(ROOT / "tests"))
    from support.postgresql import cluster  # noqa: PLC0415 - the tests' server

    names = [f"headrace_benchmark_{secrets.token_hex(4)}_{size}" for size in ("few", "many")]
    with cluster() as server:
        few, many = (server.create(name) for name in names)
        yield few, many
        for name in names:
            server.drop(name)


async def _measure(*urls: str) -> dict[str, list[float]]:
    stores = [SqlStore.open(url, durable=False, max_waiting=10**9) for url in urls]
    measured: dict[str, list[float]] = {}
    for store in stores:
        await store.change_gate(Gate(Scope.QUEUE, "limited"), {"max_running_per_owner": 1})
        # The owner of most of the jobs runs one, and may run no more.
        await store.claim(_request(Case("", "limited", 1)))
    for case in CASES:
        for number in range(REPETITIONS + 1):
            times: list[list[float]] = [[] for _ in stores]
            for _ in range(CLAIMS):
                for store, taken in zip(stores, times, strict=True):
                    taken.append(await _claim(store, case))
            few, many = (1000 * statistics.median(taken) for taken in times)
            if number:  # the first warms up
                measured.setdefault(f"{case.name}: few, ms", []).append(few)
                measured.setdefault(f"{case.name}: many, ms", []).append(many)
                measured.setdefault(f"{case.name}: many / few", []).append(many / few)
    with explained() as plans:
        for queue in ("many", "limited"):
            await _claim(stores[-1], Case("plan", queue, 4))
    show_plans(plans, "many")
    await asyncio.gather(*(store.close() for store in stores))
    return measured


async def _claim(store: SqlStore, case: Case) -> float:
    """Seconds that a claim takes. What it took goes back."""
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


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if asked < 4 * (OTHERS + 1):
        sys.exit(f"There must be at least {4 * (OTHERS + 1)} jobs.")
    main(asked, sys.argv[2:] or ["sqlite", "postgresql"])
