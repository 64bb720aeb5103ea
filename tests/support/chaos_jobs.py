"""Jobs for servers and workers that are killed: each start and end of their code is a line of the
side file.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from headrace.jobs import Job, JobContext, job
from support.checker_journal import journal
from support.jobs import PAUSE, append

ROOM = 64 << 20
"""Bytes that a job may still allocate before its memory limit ends its process."""


@job("chaos.work")
def work(
    ctx: JobContext,
    log: str,
    gate: str = "",
    grandchild: str = "",
    how: str = "return",
    good_from: int = 1,
    deaf: bool = False,
) -> object:
    """Note the start, wait for a gate, and end as told; before attempt `good_from` always by an
    exception.

    deaf: it does not look whether it is to stop.
    """
    with journal(ctx, log) as lock:
        if grandchild:
            spawn(grandchild, lock)
        ctx.message("info", "its code runs")
        while gate and not Path(gate).exists():
            if not deaf:
                ctx.check_stop()
            time.sleep(PAUSE)
        if ctx.attempt < good_from:
            raise RuntimeError(f"attempt {ctx.attempt}")
        return end(ctx, how)


def end(ctx: JobContext, how: str) -> object:
    """End in one of the ways that there are."""
    match how:
        case "raise":
            raise RuntimeError("as told")
        case "fail":
            ctx.fail("TOLD", "as told")
        case "abort":
            ctx.abort("as told")
        case "large":
            return b"x" * (2 << 20)
        case "unserializable":
            return object()
        case "progress":
            ctx.set_progress(1, 2, "half of it")
        case "sleep":
            time.sleep(600)
        case "kill" | "exit" | "segfault" | "memory":
            die(how)
    return ctx.attempt


def die(how: str) -> NoReturn:
    """End the worker process."""
    match how:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            exhaust_memory()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def exhaust_memory() -> NoReturn:
    """Allocate up to the limit of the address space, and end there as C code does whose malloc has
    failed.
    """
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))
    kept = []
    with suppress(MemoryError):
        while True:
            kept.append(bytearray(1 << 20))
    os.abort()


def spawn(note: str, lock: int) -> None:
    """Start a process in a session of its own that ignores SIGTERM and holds the job's lock, and
    note its pid.
    """
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, pass_fds=[lock])
    append(note, str(process.pid))


@job("chaos.quick")
def quick(ctx: JobContext, log: str, pause: float = 0) -> int:
    """So short that others wait behind it in one worker."""
    with journal(ctx, log):
        if pause:
            time.sleep(pause)
        return ctx.attempt


@job("chaos.timeout", attempt_timeout=timedelta(seconds=0.3))
def timeout(ctx: JobContext, log: str) -> None:
    """Sleep longer than allowed."""
    with journal(ctx, log):
        time.sleep(600)


class Unmade(Job):
    """A job that cannot be set up."""

    type = "chaos.unmade"

    def __init__(self) -> None:
        raise RuntimeError("it cannot be made")

    def run(self, ctx: JobContext, log: str) -> None:
        """Not reached."""
