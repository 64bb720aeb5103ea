"""Instances on one PostgreSQL: who has died, and what of it is in nobody's way (failure case 17)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from contract.operations import INSTANCE, claim, submit
from contract.test_tail import reached
from sqlalchemy import Connection, text

from headrace_server.domain.job import ErrorKind, JobError
from headrace_server.domain.ports.cluster import Instance
from headrace_server.store import SqlStore
from support.listeners import Deaths

pytestmark = [pytest.mark.only("postgresql"), pytest.mark.slow]

LEASE = 1.0
LOST = JobError(ErrorKind.INSTANCE_LOST, "It has died.")


@pytest.fixture
def deaths() -> Deaths:
    """What `there` is told."""
    return Deaths()


@pytest_asyncio.fixture
async def stores(url: str, deaths: Deaths) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two stores that have joined, as `here` and as `there`."""
    here, there = SqlStore.open(url, durable=False), SqlStore.open(url, durable=False)
    await here.join(Instance(INSTANCE, 1, {}), lease=LEASE)
    await there.join(Instance("there", 2, {}), lease=LEASE, life=deaths)
    yield here, there
    await asyncio.gather(here.close(), there.close())


def lock(connection: Connection, job_id: str) -> None:
    """Lock a job's row as the last statement of a pipeline does: behind it the server starts no
    clock.
    """
    cursor = connection.connection.cursor()
    cursor.executemany("UPDATE job SET description = 'locked' WHERE job_id = %s", [(job_id,)])


async def test_what_a_dead_instance_has_locked_is_taken_over(
    stores: tuple[SqlStore, SqlStore], deaths: Deaths, database: str
) -> None:
    """One that stands still in the middle of a transaction holds nothing once it is dead: its
    connections are ended.
    """
    assert database == "postgresql"
    here, there = stores
    job = await submit(here)
    (taken,) = await claim(here)
    assert taken.job.job_id == job.job_id
    assert here._life._heartbeat is not None
    deaths.times.clear()
    await asyncio.to_thread(here._life._heartbeat.stop)
    with here._engines.writes.connect() as connection:
        lock(connection, job.job_id)
        await reached(lambda: deaths.times, "it is dead")
        count = await there.recover(LOST, confirmed=False)
        with pytest.raises(Exception, match=r"terminat|closed"):
            connection.execute(text("SELECT 1"))
        connection.invalidate()
    assert count == 1
