"""A module of jobs that starts a process while it is loaded, and makes a lock that processes of its
jobs share.
"""

import multiprocessing
import subprocess
from typing import Any

from headrace.jobs import JobContext, job

SPAWN = multiprocessing.get_context("spawn")
LOCK = SPAWN.Lock()
SIDE = subprocess.Popen(["sleep", "60"])


def locked(lock: Any) -> bool:
    """Take the lock, in another process."""
    with lock:
        return True


@job("lock")
def lock(ctx: JobContext) -> int | None:
    """Use the module's lock in a new process; answer its exit code."""
    del ctx
    process = SPAWN.Process(target=locked, args=(LOCK,))
    process.start()
    process.join()
    return process.exitcode


@job("side")
def side(ctx: JobContext) -> int | None:
    """How the process has ended that the module started."""
    del ctx
    return SIDE.poll()
