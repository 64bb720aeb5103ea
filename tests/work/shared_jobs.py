"""Jobs of which several runs share a process, for the tests of that.

They tell what they do by files, so that a test waits for facts.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from work.pool_jobs import PAUSE, note, wait_for

from headrace.jobs import JobContext, job, resource

MADE: list[object] = []


def there(path: str) -> bool:
    """Whether a file exists."""
    return Path(path).exists()


def count_of(path: str) -> int:
    """How many files have this beginning."""
    return len(list(Path(path).parent.glob(f"{Path(path).name}-*")))


async def come(path: str) -> None:
    """Wait until a file exists."""
    while not there(path):  # noqa: ASYNC110 - a file sends no event
        await asyncio.sleep(PAUSE)


@resource
def token() -> object:
    """An object of this process."""
    MADE.append(object())
    return len(MADE)


@job("plain")
def plain(ctx: JobContext) -> int:
    """Say in which process it runs."""
    del ctx
    print("plain words")
    return os.getpid()


async def meet(ctx: JobContext, arrived: str, count: int) -> int:
    """Wait until so many are there."""
    note(f"{arrived}-{ctx.job_id}", "")
    while count_of(arrived) < count:  # noqa: ASYNC110 - as above
        await asyncio.sleep(PAUSE)
    return os.getpid()


async def gated(ctx: JobContext, started: str, gate: str, how: str = "return") -> Any:
    """Wait for a gate, then end in some way."""
    note(started, os.getpid())
    await come(gate)
    if how != "return":
        return await globals()[how](gate)
    return ctx.resources.token


async def fails(_gate: str) -> None:
    """Raise."""
    raise ValueError("on purpose")


async def leaves(_gate: str) -> None:
    """Ask for the end of the process."""
    sys.exit(3)


async def interrupts(_gate: str) -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


async def leaves_in_a_task(_gate: str) -> None:
    """Ask for the end of the process, in a task."""
    await asyncio.create_task(leaves(""))


async def ends_the_process(_gate: str) -> None:
    """End the process without a word."""
    os._exit(7)


async def cancels_all(_gate: str) -> None:
    """Cancel every other task of the loop."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def forks(gate: str) -> int:
    """Fork a process that would go on with the loop."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222 - it ends at once
    await asyncio.sleep(0)
    note(f"{gate}-forked", "went on")
    os._exit(0)


async def tidy(ctx: JobContext, started: str, done: str) -> None:
    """Wait for ever; clean up when it is stopped."""
    del ctx
    note(started, os.getpid())
    try:
        await asyncio.Event().wait()
    finally:
        note(done, "cleaned")


async def attentive(ctx: JobContext, started: str) -> str:
    """Look for the stop, and end by oneself."""
    note(started, os.getpid())
    while not ctx.stop_requested:  # noqa: ASYNC110 - memory sends no event
        await asyncio.sleep(PAUSE)
    return ctx.stop_reason


async def stubborn(ctx: JobContext, started: str, swallows: int, gate: str = "/nowhere") -> None:
    """Swallow so many cancellations."""
    del ctx
    note(started, os.getpid())
    left = swallows
    while not there(gate):
        try:
            await asyncio.sleep(PAUSE)
        except asyncio.CancelledError:
            note(f"{started}-swallowed-{left}", "")
            left -= 1
            if left < 0:
                raise


async def threaded(ctx: JobContext, started: str, gate: str, how: str) -> str:
    """Wait for a gate in a thread, or leave a thread behind that does."""

    def body() -> str:
        print(f"from a thread of {ctx.job_id}")
        note(started, os.getpid())
        wait_for(gate)
        return "opened"

    if how == "to_thread":
        return await asyncio.to_thread(body)
    if how == "executor":
        return await asyncio.get_running_loop().run_in_executor(None, body)
    threading.Thread(target=body, daemon=True).start()
    await come(started)
    return "left"


async def leaver(ctx: JobContext, cleaned: str) -> None:
    """Leave a task behind."""

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            note(cleaned, ctx.job_id)

    ctx.labels  # noqa: B018 - what it reads is the run's own
    globals()["_kept"] = asyncio.create_task(left())
    await asyncio.sleep(0)


async def generator_leaver(ctx: JobContext) -> int:
    """Leave a generator behind whose end waits for ever."""
    del ctx

    async def endless() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.Event().wait()

    globals()["_generator"] = left = endless()
    await anext(left)
    return os.getpid()


async def talker(ctx: JobContext, gate: str, arrived: str) -> None:
    """Print, log and write, in turns with others."""
    note(f"{arrived}-{ctx.job_id}", "")
    await come(gate)
    for number in range(3):
        print(f"{ctx.job_id} prints {number}")
        await asyncio.sleep(0)
        ctx.message("info", f"{ctx.job_id} says {number}")
        await asyncio.sleep(0)
        print(f"{ctx.job_id} warns {number}", file=sys.stderr)
    os.write(1, b"a descriptor knows nobody\n")
    print("no end", end="")


async def flood(ctx: JobContext, lines: int) -> None:
    """Print very much."""
    for number in range(lines):
        print(f"{ctx.job_id} {number} {'x' * 100}")
        if number % 100 == 0:
            await asyncio.sleep(0)


async def blocker(ctx: JobContext, started: str, gate: str) -> None:
    """Keep the loop until a gate opens."""
    del ctx
    note(started, os.getpid())
    await asyncio.sleep(0)
    while not there(gate):
        time.sleep(PAUSE)  # noqa: ASYNC251 - the point


async def child_leaver(ctx: JobContext, started: str, gate: str) -> int:
    """Leave a process behind; end at a gate."""
    del ctx
    process = subprocess.Popen(["sleep", "1000"])  # noqa: ASYNC220 - it waits for nothing
    note(started, process.pid)
    await come(gate)
    return os.getpid()


async def room(ctx: JobContext, started: str, gate: str) -> None:
    """Use a workspace."""
    (ctx.workspace / "file").write_text("text")
    note(started, ctx.workspace)
    await come(gate)


@job("shared", concurrency=10, workspace=True)
async def shared(ctx: JobContext, do: str, **more: Any) -> Any:
    """Do one of these."""
    return await globals()[do](ctx, **more)
