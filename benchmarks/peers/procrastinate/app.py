"""Procrastinate on PostgreSQL; its workers are asked to take 10 jobs at once."""

import asyncio

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status

from benchmarks.peers import commands

PAUSE = 0.001
app = App(connector=PsycopgConnector(conninfo=commands.SERVICE, min_size=1, max_size=10))


@app.task(name="noop")
async def noop() -> None:
    """Note the time."""
    commands.clock.note()


async def _prepare() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def _submits(count: int, in_flight: int) -> float:
    async with app.open_async():
        return await commands.submits_async(noop.defer_async, count, in_flight)


async def _batches(count: int, size: int) -> float:
    async with app.open_async():

        async def batch(jobs: int) -> None:
            await noop.batch_defer_async(*[{} for _ in range(jobs)])

        return await commands.batches_async(batch, count, size)


async def _run() -> None:
    job = await noop.defer_async()
    while await app.job_manager.get_job_status_async(job) != Status.SUCCEEDED:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(PAUSE)


async def _lone(count: int) -> list[tuple[float, float]]:
    async with app.open_async():
        return await commands.lone_async(_run, count)


VERBS = {
    "prepare": lambda: asyncio.run(_prepare()),
    "submits": lambda count, in_flight: asyncio.run(_submits(count, in_flight)),
    "batches": lambda count, size: asyncio.run(_batches(count, size)),
    "lone": lambda count: asyncio.run(_lone(count)),
}
