"""Jobs that start processes, in all the ways of the standard library."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from work.pool_jobs import note

from headrace.jobs import JobContext, job, resource

_kept: dict[str, Any] = {}


def square(number: int) -> int:
    """What is done in the other processes."""
    return number * number


@job("terminate")
def terminate(ctx: JobContext, rounds: int) -> list[int | None]:
    """End forked processes as soon as they are there; answer their exit codes."""
    del ctx
    forks = multiprocessing.get_context("fork")
    codes = []
    for _ in range(rounds):
        process = forks.Process(target=time.sleep, args=(60,))
        process.start()
        process.terminate()
        process.join(10)
        codes.append(process.exitcode)
    return codes


@job("fork-always")
def fork_always(ctx: JobContext, started: str) -> None:
    """Fork again and again."""
    del ctx
    note(started, os.getpid())
    while True:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def stay(arrived: Any) -> None:
    """Come on, and never be ready for a task."""
    arrived.wait()
    time.sleep(60)


@job("leave-pools")
def leave_pools(ctx: JobContext, rounds: int) -> int:
    """Make pools of forks and leave them while all of their processes work.

    A pool that is left while some wait for tasks can hang in any program: `Pool.terminate` wants
    the lock under which they wait (CPython 3.11, one of 3,000 beside a busy machine).
    """
    del ctx
    forks = multiprocessing.get_context("fork")
    for _ in range(rounds):
        arrived = forks.Barrier(5)
        with forks.Pool(4, stay, (arrived,)):
            arrived.wait()
    return rounds


@job("pool")
def pool(ctx: JobContext, method: str) -> int:
    """Compute in a pool, and in an executor, of one start method."""
    del ctx
    context: Any = multiprocessing.get_context(method)
    with context.Pool(1) as workers:
        first = sum(workers.map(square, range(4)))
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        return first + sum(executor.map(square, range(3)))


@job("fork-and-end")
def fork_and_end(ctx: JobContext, how: str) -> int:
    """Fork a process that leaves the job in some way; answer its exit code."""
    pid = os.fork()
    if pid == 0:
        ctx.message("info", "from the fork")
        if how == "raise":
            raise ValueError("in the fork")
        if how == "return":
            return 0
        sys.exit(int(how) if how.isdigit() else how)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@job("share")
def share(ctx: JobContext, end: str) -> str:
    """Leave shared memory behind, with a process that uses it."""
    memory = SharedMemory(create=True, size=1000)
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()
    ctx.set_result("name", memory.name)
    if end == "exit":
        os._exit(1)
    return memory.name


@job("share-below")
def share_below(ctx: JobContext) -> str:
    """Leave a program that has made shared memory."""
    del ctx
    code = (
        "import time; from multiprocessing.shared_memory import SharedMemory as S; "
        "m = S(create=True, size=9); print(m.name, flush=True); time.sleep(60)"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with contextlib.closing(program.stdout):
        return program.stdout.readline().strip()


@job("keep")
def keep(ctx: JobContext) -> list[int | None]:
    """Keep processes in the module; answer how those of the job before have ended."""
    del ctx
    before = _kept.get("popen"), _kept.get("process")
    codes = [before[0].poll(), before[1].exitcode] if before[0] else []
    _kept["popen"] = subprocess.Popen(["sleep", "60"])
    _kept["process"] = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    _kept["process"].start()
    return codes


@resource(threads=True)
def executor() -> concurrent.futures.Executor:
    """An executor that is kept in the worker."""
    return concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))


@job("kept-executor")
def kept_executor(ctx: JobContext) -> int:
    """Compute in the executor of the worker."""
    result: int = ctx.resources.executor.submit(square, 3).result()
    return result
