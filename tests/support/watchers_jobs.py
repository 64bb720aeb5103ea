"""A job that says much."""

import time
from pathlib import Path

from headrace.jobs import JobContext, job
from support.jobs import PAUSE


@job("watchers.loud")
def loud(ctx: JobContext, count: int, size: int, gate: str) -> None:
    """Log messages, then wait for a gate."""
    for _ in range(count):
        ctx.message("info", "x" * size)
    while not Path(gate).exists():
        time.sleep(PAUSE)
