"""How many jobs wait, where several stores write to one PostgreSQL database."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from contract.operations import claim, submit, until

from headrace_server.domain.errors import QueueFull, StoreUnavailable
from headrace_server.store import SqlStore
from headrace_server.store.write import waiting_count
from headrace_server.store.write.waiting_count import WaitingCount

pytestmark = pytest.mark.only("postgresql")


@pytest_asyncio.fixture
async def stores(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two stores on one database, in which five jobs may wait; the second takes more, since it may count one twice for a moment."""
    monkeypatch.setattr(waiting_count, "RECOUNT_SECONDS", 0.05)
    monkeypatch.setattr(waiting_count, "IDLE_SHARE", 0)
    opened = [SqlStore.open(url, durable=False, max_waiting=most) for most in (5, 10)]
    yield opened[0], opened[1]
    await asyncio.gather(*(one.close() for one in opened))


async def test_what_others_change_is_counted(stores: tuple[SqlStore, SqlStore]) -> None:
    """What another store submits and claims is counted a little later, without a write of this one, and then the limit holds."""
    here, there = stores
    for _ in range(5):
        await submit(there)
    await until(lambda: here.waiting == 5, 10)
    with pytest.raises(QueueFull):
        await submit(here)
    assert len(await claim(there, 2)) == 2
    await until(lambda: here.waiting == 3, 10)
    await submit(here)
    await until(lambda: here.waiting == 4, 10)
    await until(lambda: there.waiting == 4, 10)


async def test_a_count_loses_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this store commits while a count is under way is kept; a count that fails leaves what there was."""
    monkeypatch.setattr(waiting_count, "RECOUNT_SECONDS", 0)
    monkeypatch.setattr(waiting_count, "IDLE_SHARE", 0)
    kept = WaitingCount(10)
    kept.add(1)
    asked: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()

    async def count() -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asked.put_nowait(answer)
        return await answer

    counting = asyncio.create_task(kept.recount(count))
    first = await asked.get()
    kept.add(3)
    first.set_result(20)
    second = await asked.get()
    assert kept.now == 23
    second.set_exception(StoreUnavailable("The database is away."))
    await asked.get()
    assert kept.now == 23
    counting.cancel()
    await asyncio.wait([counting])
