"""A job that does nothing but note the time, so all that is measured is Headrace."""

import os
from pathlib import Path

from benchmarks.load.clock import Clock
from headrace.jobs import JobContext, job

NOOP = "bench.noop"
clock = Clock(Path(os.environ["BENCH_CLOCK"]))


@job(NOOP)
def noop(ctx: JobContext) -> None:
    """Note the time."""
    del ctx
    clock.note()
