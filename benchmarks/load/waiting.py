"""Jobs that last until a file is there: one waits, one waits and reports its progress all the
while.
"""

import time
from pathlib import Path

from headrace.jobs import JobContext, RetryPolicy, job

WAITS, REPORTS = "bench.waits", "bench.reports"
PAUSE = 0.005


@job(WAITS, retry_policy=RetryPolicy(max_attempts=5))
def waits(ctx: JobContext, note: str, gate: str) -> None:
    """Note each time at which the code begins, and wait for the gate."""
    with Path(note).open("a") as file:
        file.write(f"{time.time()}\n")
    while not Path(gate).exists():
        ctx.check_stop()
        time.sleep(PAUSE)


@job(REPORTS)
def reports(ctx: JobContext, seconds: float, rate: int) -> int:
    """Compute for so long, and report so many times a second (0: never); the steps that were
    computed.
    """
    steps, updates, began = 0, 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(100):
            steps += 1
        if rate and updates < passed * rate:
            updates += 1
            ctx.set_progress(updates, int(seconds * rate) + 1)
    return steps
