"""PgQueuer on PostgreSQL with asyncpg, all of its tables logged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, PgQueuer, Queries
from pgqueuer.core.completion import CompletionWatcher
from pgqueuer.models import Job

from benchmarks.peers import commands

BATCH = 100


async def _work() -> None:
    """Be a worker.

    Not by the command: pgqueuer 1.6.0's fails with the typer that pip finds for it.
    """
    made = PgQueuer(AsyncpgDriver(await asyncpg.connect(commands.SERVICE)))

    @made.entrypoint("noop")
    async def noop(job: Job) -> None:
        """Note the time."""
        del job
        commands.clock.note()

    await made.run(batch_size=BATCH)


@asynccontextmanager
async def _queries() -> AsyncIterator[Queries]:
    async with asyncpg.create_pool(commands.SERVICE, min_size=1, max_size=10) as pool:
        yield Queries(AsyncpgPoolDriver(pool))


async def _prepare() -> None:
    async with _queries() as queries:
        await queries.install()


async def _submits(count: int, in_flight: int) -> float:
    async with _queries() as queries:
        return await commands.submits_async(lambda: queries.enqueue("noop", None), count, in_flight)


async def _batches(count: int, size: int) -> float:
    async with _queries() as queries:

        async def batch(jobs: int) -> None:
            await queries.enqueue(["noop"] * jobs, [None] * jobs, [0] * jobs)

        return await commands.batches_async(batch, count, size)


async def _lone(count: int) -> list[tuple[float, float]]:
    driver = AsyncpgDriver(await asyncpg.connect(commands.SERVICE))
    async with (
        _queries() as queries,
        CompletionWatcher(driver, queries=Queries(driver), debounce=timedelta(milliseconds=1)) as watcher,
    ):

        async def run() -> None:
            (job,) = await queries.enqueue("noop", None)
            await watcher.wait_for(job)

        return await commands.lone_async(run, count)


VERBS = {
    "work": lambda: uvloop.run(_work()),
    "prepare": lambda: asyncio.run(_prepare()),
    "submits": lambda count, in_flight: asyncio.run(_submits(count, in_flight)),
    "batches": lambda count, size: asyncio.run(_batches(count, size)),
    "lone": lambda count: asyncio.run(_lone(count)),
}
