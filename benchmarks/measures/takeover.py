"""P10: how long it takes until another instance runs the job of one that was killed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.load.waiting import WAITS
from benchmarks.measures.measure import Measure, Unit
from benchmarks.runner import Figures, Variant
from benchmarks.systems.headrace import Headrace
from headrace import Client

LIMIT = 60.0
LEASES = {"lease_time 10 s, the default": 10.0, "lease_time 3 s": 3.0}
TAKEN = "SIGKILL to code"
JOBS = "benchmarks.load.waiting"


@contextmanager
def _variants(bench: Bench) -> Iterator[Sequence[Variant]]:
    yield [Variant(name, partial(_takeover, bench, lease)) for name, lease in LEASES.items()]


def _takeover(bench: Bench, lease: float) -> Figures:
    with Headrace(bench, "PostgreSQL").place() as place:
        note, gate = place.folder / "note", place.folder / "gate"
        first, second = (
            place.server(workers=1, name=name, jobs=JOBS, lease_time=lease) for name in ("first", "second")
        )
        with first:
            with Client(first.target) as client:
                job_id = client.submit(WAITS, {"note": str(note), "gate": str(gate)}).job_id
            _times(note, 1)
            with second, Client(second.target) as client:
                killed = time.time()
                first.kill()
                taken = _times(note, 2)[1] - killed
                gate.touch()
                client.handle(job_id).wait(LIMIT)
    return {TAKEN: taken}


def _times(note: Path, count: int) -> list[float]:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        times = [float(line) for line in note.read_text().split()] if note.exists() else []
        if len(times) >= count:
            return times
        time.sleep(0.01)
    raise TimeoutError(f"the job did not begin {count} times within {LIMIT:g} s")


TAKEOVER = Measure(
    "P10",
    "Takeover of a run after SIGKILL of its instance",
    {TAKEN: Unit("s", more_is_better=False)},
    _variants,
    over=(),
    notes=(
        "The time is from the kill until the code of the job begins on the other instance.",
        "With so few rounds the most of them stands for p99.",
    ),
    reach="p99 below 15 s",
)
