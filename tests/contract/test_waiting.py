"""How many jobs wait, where several stores write to one PostgreSQL database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from contract.operations import claim, submit, until
from sqlalchemy import Connection

from headrace_server.domain.errors import QueueFull, StoreUnavailable
from headrace_server.store import SqlStore
from headrace_server.store.write import operations, waiting_count
from headrace_server.store.write.commit_order import CommitOrder
from headrace_server.store.write.waiting_count import WaitingCount

pytestmark = pytest.mark.only("postgresql")


@pytest_asyncio.fixture
async def stores(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two stores on one database, in which five jobs may wait."""
    monkeypatch.setattr(waiting_count, "RECOUNT_SECONDS", 0.05)
    monkeypatch.setattr(waiting_count, "IDLE_SHARE", 0)
    opened = [SqlStore.open(url, durable=False, max_waiting=most) for most in (5, 5)]
    yield opened[0], opened[1]
    await asyncio.gather(*(one.close() for one in opened))


async def test_what_others_change_is_counted(stores: tuple[SqlStore, SqlStore]) -> None:
    """What another store submits and claims is counted a little later, without a write of this one,
    and then the limit holds.
    """
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
    """What this store commits while a count is under way is kept; a count that fails leaves what
    there was.
    """
    monkeypatch.setattr(waiting_count, "RECOUNT_SECONDS", 0)
    monkeypatch.setattr(waiting_count, "IDLE_SHARE", 0)
    kept = WaitingCount(10)
    kept.add(1)
    asked: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()

    async def count(begin: Callable[[], None]) -> int:
        begin()
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


async def test_no_commit_is_counted_twice(
    stores: tuple[SqlStore, SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that begins when a COMMIT is carried out and not told yet waits until it is told."""
    here, _ = stores
    begins, counts, counted = threading.Event(), threading.Event(), threading.Semaphore(0)
    add, between, count = WaitingCount.add, CommitOrder.between, operations.count_waiting
    seen: list[int] = []

    def add_late(of: WaitingCount, change: int) -> None:
        """The COMMIT has been carried out: told of it when a count is about to begin, and behind
        one that has begun.
        """
        begins.clear()
        assert begins.wait(30)
        counts.wait(0.1)
        add(of, change)

    @contextmanager
    def noticed(order: CommitOrder, seconds: float) -> Iterator[None]:
        counts.clear()
        begins.set()
        with between(order, seconds):
            yield

    def count_and_tell(connection: Connection) -> int:
        counts.set()
        found = count(connection)
        counted.release()
        return found

    monkeypatch.setattr(WaitingCount, "add", add_late)
    monkeypatch.setattr(CommitOrder, "between", noticed)
    monkeypatch.setattr(operations, "count_waiting", count_and_tell)
    await submit(here)

    def looked() -> bool:
        seen.append(here.waiting)
        return counted.acquire(blocking=False)

    for _ in range(3):
        await until(looked)
    assert set(seen) == {1}


def test_a_look_between_commits() -> None:
    """It begins when the commit that is under way has been told, and the next commit when it is
    over; it does not wait for ever.
    """
    order, told = CommitOrder(), []

    def look() -> None:
        with order.between(30):
            told.append("look")

    def commit() -> None:
        with order.commit() as wait:
            wait()
            told.append("commit")

    looking, committing = threading.Thread(target=look), threading.Thread(target=commit)
    with order.commit():
        with pytest.raises(TimeoutError), order.between(0.01):
            raise AssertionError
        looking.start()
        looking.join(0.05)
        told.append("first commit")
    looking.join()
    with order.between(30):
        committing.start()
        committing.join(0.05)
        told.append("second look")
    committing.join()
    assert told == ["first commit", "look", "second look", "commit"]
