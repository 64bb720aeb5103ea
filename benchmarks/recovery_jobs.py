"""The jobs of benchmarks.recovery: each notes when its code began, and ends in its own way when it
is stopped.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from headrace.jobs import JobContext, job

PAUSE = 0.005


def note(path: str) -> None:
    """Tell when and in which process this is, whole or not at all; the clock is that of the whole
    machine.
    """
    part = Path(f"{path}.part")
    part.write_text(f"{time.monotonic()} {os.getpid()}")
    part.rename(path)


@job("recovery.cooperates")
def cooperates(ctx: JobContext, began: str) -> None:
    """Look at the context all the time."""
    note(began)
    while True:
        ctx.check_stop()
        time.sleep(PAUSE)


@job("recovery.sleeps")
def sleeps(ctx: JobContext, began: str) -> None:
    """Never look at it."""
    del ctx
    note(began)
    time.sleep(3600)


@job("recovery.computes")
def computes(ctx: JobContext, began: str) -> None:
    """Stay in C code, where no handler of Python runs."""
    del ctx
    note(began)
    sum(range(10**12))


@job("recovery.refuses")
def refuses(ctx: JobContext, began: str) -> None:
    """Ignore SIGTERM, and swallow whatever is raised."""
    del ctx
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(began)
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(PAUSE)


@job("recovery.spawns")
def spawns(ctx: JobContext, began: str) -> None:
    """Have processes in sessions of their own that ignore SIGTERM, and look at the context."""
    for _ in range(3):
        subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM; sleep 3600"])
    cooperates(ctx, began)


@job("recovery.begins")
def begins(ctx: JobContext, began: str) -> None:
    """Begin, and end."""
    del ctx
    note(began)
