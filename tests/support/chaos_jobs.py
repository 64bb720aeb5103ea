"""Jobs for servers that are killed: each start and end of their code is a line of a synced file."""

import os
import signal
import time
from pathlib import Path

from headrace.jobs import JobContext, job
from support.jobs import PAUSE, append, spawn


@job("chaos.work")
def work(
    ctx: JobContext,
    log: str,
    gate: str = "",
    grandchild: str = "",
    how: str = "return",
    good_from: int = 1,
) -> int:
    """Note the start, wait for a gate, and end as told; before attempt `good_from` always by an exception."""
    append(log, f"start {ctx.job_id} {ctx.attempt}")
    if grandchild:
        spawn(grandchild)
    ctx.message("info", "its code runs")
    while gate and not Path(gate).exists():
        ctx.check_stop()
        time.sleep(PAUSE)
    if ctx.attempt < good_from:
        raise RuntimeError(f"attempt {ctx.attempt}")
    match how:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(600)
    append(log, f"end {ctx.job_id} {ctx.attempt}")
    return ctx.attempt


@job("chaos.quick")
def quick(ctx: JobContext, log: str) -> int:
    """Note that it ran: so short that others wait behind it in one worker."""
    append(log, f"start {ctx.job_id} {ctx.attempt}")
    return ctx.attempt
