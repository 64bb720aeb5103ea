"""What the applications of peers share: how each measures itself.

It imports the standard library alone.

BENCH_SERVICE is the URL of the broker or database, BENCH_CLOCK the page on which the no-ops note
the time.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.load.clock import Clock

SERVICE = os.environ.get("BENCH_SERVICE", "")
WARM = 10
clock = Clock(Path(os.environ["BENCH_CLOCK"]))


def submits(submit: Callable[[], object]) -> Callable[[int, int], float]:
    """Submits a second: a call that blocks, on so many threads."""

    def measure(count: int, in_flight: int) -> float:
        submit()  # the connection is there
        began = time.perf_counter()
        if in_flight == 1:
            for _ in range(count):
                submit()
        else:
            with ThreadPoolExecutor(in_flight) as threads:
                for done in [threads.submit(submit) for _ in range(count)]:
                    done.result()
        return count / (time.perf_counter() - began)

    return measure


def lone(run: Callable[[], object]) -> Callable[[int], list[tuple[float, float]]]:
    """Milliseconds until the code began and until the end was known: `run` submits and waits."""

    def measure(count: int) -> list[tuple[float, float]]:
        times = []
        for number in range(WARM + count):
            began = time.time()
            run()
            done = time.time()
            if number >= WARM:
                times.append((1000 * (clock.runs().last - began), 1000 * (done - began)))
        return times

    return measure


def wait_for_run(before: int) -> None:
    """Until one more no-op has run: for peers that tell nobody."""
    while clock.runs().count <= before:
        time.sleep(0.0002)


async def submits_async(submit: Callable[[], Awaitable[object]], count: int, in_flight: int) -> float:
    """Submits a second: a coroutine, so many at once."""
    await submit()
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await submit()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return count / (time.perf_counter() - began)


async def lone_async(run: Callable[[], Awaitable[object]], count: int) -> list[tuple[float, float]]:
    """The same as `lone`, of a coroutine."""
    times = []
    for number in range(WARM + count):
        began = time.time()
        await run()
        done = time.time()
        if number >= WARM:
            times.append((1000 * (clock.runs().last - began), 1000 * (done - began)))
    return times


async def batches_async(batch: Callable[[int], Awaitable[object]], count: int, size: int) -> float:
    """Jobs a second in batches of a size, one after the other."""
    await batch(1)
    began = time.perf_counter()
    for first in range(0, count, size):
        await batch(min(size, count - first))
    return count / (time.perf_counter() - began)
