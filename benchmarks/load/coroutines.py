"""Coroutines that wait, of which many share a worker."""

import asyncio
import os
from pathlib import Path

from benchmarks.load.clock import Clock
from headrace.jobs import JobContext, job

PAUSES = "bench.pauses"
SECONDS = 1.0
SHARING = 1000
"""How many share a worker."""
clock = Clock(Path(os.environ["BENCH_CLOCK"]))


@job(PAUSES, concurrency=SHARING)
async def pauses(ctx: JobContext) -> None:
    """Note the time, wait, and note it again."""
    del ctx
    clock.note()
    await asyncio.sleep(SECONDS)
    clock.note()
