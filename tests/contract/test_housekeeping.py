"""Housekeeping over a store: it goes on whatever happens, and nobody waits long for it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from contract.operations import SECOND, Clock, claim, found, page, stop, submit, until
from contract.tables import file_of

from headrace_server.control.housekeeping import Housekeeping
from headrace_server.domain.retention import PORTION_JOBS, Retention
from headrace_server.store import SqlStore

SOON = Retention(None, None, SECOND)
AT_ONCE = 100
"""Changes that may come to be one transaction."""


@asynccontextmanager
async def kept(store: SqlStore) -> AsyncIterator[Housekeeping]:
    """Housekeeping meanwhile."""
    keeper = Housekeeping(store, SOON, 0.05)
    keeper.start()
    try:
        yield keeper
    finally:
        await keeper.close()


async def old(store: SqlStore, clock: Clock, count: int) -> None:
    """Jobs that ended long ago."""
    # Not all at once: one transaction with thousands is cut off on a busy machine, which is not
    # what is looked at here.
    for begin in range(0, count, AT_ONCE):
        portion = range(begin, min(count, begin + AT_ONCE))
        jobs = await asyncio.gather(*(submit(store, kind="old", hold=True) for _ in portion))
        await asyncio.gather(*(stop(store, job) for job in jobs))
    clock.pass_time(10)


async def test_it_sweeps_at_its_start_and_then_again(store: SqlStore, clock: Clock) -> None:
    """What is old when it starts goes at once, what becomes old later with a later look."""
    await old(store, clock, 3)
    waiting = await submit(store, hold=True)
    async with kept(store) as keeper:
        await until(lambda: keeper.deleted == 3)
        await old(store, clock, 2)
        await until(lambda: keeper.deleted == 5)
    assert await found(store, page()) == [waiting.job_id]


async def test_whoever_claims_waits_for_one_step_at_most(store: SqlStore, clock: Clock) -> None:
    """While thousands of jobs are deleted, submits and claims go on: several between any two steps
    of the sweep.
    """
    steps = 12
    await old(store, clock, steps * PORTION_JOBS)
    claimed = 0
    async with kept(store) as keeper:
        while keeper.deleted < steps * PORTION_JOBS:
            await submit(store)
            claimed += len(await claim(store))
    print(f"{claimed} jobs submitted and claimed while {steps * PORTION_JOBS} were deleted")
    assert claimed >= steps


@pytest.mark.only("sqlite")
async def test_it_survives_its_database(
    store: SqlStore, clock: Clock, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a database it says so and tries again; when that is back, it sweeps."""
    await old(store, clock, 3)
    path = file_of(url)
    aside = path.rename(path.with_name("aside"))
    with caplog.at_level(logging.WARNING):
        async with kept(store) as keeper:
            await until(lambda: "old jobs cannot be deleted now" in caplog.text)
            assert keeper.deleted == 0
            aside.rename(path)
            await until(lambda: keeper.deleted == 3)
