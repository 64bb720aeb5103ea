"""What queries cost on SQLite: plans that seek, and claims that cost the same in front of a long
queue.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from contract.operations import (
    LOST,
    SECOND,
    Clock,
    claim,
    continued,
    end,
    found,
    page,
    run,
    set_gate,
    submission,
    submit,
)
from contract.tables import connected
from sqlalchemy import event

from headrace_server.domain.broadcast import DEFAULT_KINDS
from headrace_server.domain.gate import Scope
from headrace_server.domain.job import Status
from headrace_server.domain.query import Order
from headrace_server.domain.retention import Retention
from headrace_server.store import SqlStore

pytestmark = pytest.mark.only("sqlite")


@contextmanager
def recorded(store: SqlStore) -> Iterator[set[str]]:
    """Every statement that SQLite executes meanwhile, its values written out."""
    statements: set[str] = set()

    def trace(connection: Any) -> None:
        connection.connection.driver_connection.set_trace_callback(statements.add)

    for engine in set(store._engines):
        event.listen(engine, "begin", trace)
    yield statements
    for engine in set(store._engines):
        event.remove(engine, "begin", trace)


def plans(url: str, statements: set[str]) -> Iterator[tuple[str, list[str]]]:
    """What SQLite intends to do for each."""
    with connected(url) as connection:
        for statement in statements.copy():
            if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK", "EXPLAIN", "PRAGMA", "--")):
                steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
                yield statement, [step[3] for step in steps]


def slow(steps: list[str]) -> list[str]:
    """Steps that grow with the tables: scans of any of them, and sorts."""
    tables = ("job", "job_event", "job_parameters", "job_result", "ready", "timer", "request", "gate")
    scans = [step for step in steps if step.startswith("SCAN") and step.split()[1] in tables]
    # The first or last entry of an index is found without a scan, though SQLite calls it one.
    return [step for step in scans if "USING" not in step] + [step for step in steps if "TEMP B-TREE" in step]


async def test_hot_statements_seek(store: SqlStore, clock: Clock, url: str) -> None:
    """No statement of a job's whole life scans a table or sorts."""
    with recorded(store) as statements:
        await set_gate(store, Scope.QUEUE, "default", max_running=9, max_running_per_owner=3)
        await submit(store, request_id="r", tenant="a")
        await run(store, tenant="b", kind="u", expire_time=clock.now + 10**9)
        ended = await end(store, kind="v")
        await store.submit(submission(request_id="r", tenant="a"))
        await store.get(ended.job_id, tenant="default", payload=True)
        await store.events(ended.job_id, after=1, limit=5)
        await store.recover(LOST, confirmed=True)
        clock.pass_time(2000)
        await store.run_timers()
        await store.delete(ended.job_id, tenant="default")
        old = [await end(store, kind="x", request_id=f"old-{number}") for number in range(2)]
        await store.purge([old[0].job_id], tenant="default")
        clock.pass_time(100_000)
        assert (await store.sweep(Retention(SECOND, SECOND, SECOND), None)).jobs > 0
    assert len(statements) > 20
    assert {statement: steps for statement, steps in plans(url, statements) if slow(steps)} == {}


async def test_lists_seek(store: SqlStore, url: str) -> None:
    """Pages of a tenant, whole or by status, type or owner, come from an index in their order."""
    made = await submit(store)
    with recorded(store) as statements:
        for asked in (
            page(Order.CREATE_TIME_DESC),
            page(Order.CREATE_TIME_ASC),
            page(Order.STATUS_TIME_DESC),
            page(Order.STATUS_TIME_DESC, statuses=(Status.QUEUED,)),
            page(Order.CREATE_TIME_DESC, types=("t",)),
            page(Order.CREATE_TIME_DESC, owners=("ann",)),
        ):
            await found(store, asked)
            await found(store, continued(asked, (made.create_time, made.job_id)))
    assert {statement: steps for statement, steps in plans(url, statements) if slow(steps)} == {}


async def cost(store: SqlStore, slots: int) -> int:
    """The instructions of SQLite's machine for a claim."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    with store._engines[0].connect() as connection:
        connection.connection.driver_connection.set_progress_handler(tick, 1)
    assert len(await claim(store, slots)) == slots
    with store._engines[0].connect() as connection:
        connection.connection.driver_connection.set_progress_handler(None, 1)
    return count


async def queue(store: SqlStore, jobs: int, tenants: int = 1, kind: str = "t") -> None:
    """Queue many jobs, dealt out to tenants."""
    submissions = (submission(kind, tenant=f"tenant-{number % tenants:04d}") for number in range(jobs))
    await asyncio.gather(*(store.submit(asked) for asked in submissions))


async def test_a_sweep_does_not_feel_what_stays(store: SqlStore, url: str) -> None:
    """The statements that find what retention lets go seek in their own indexes, in order."""
    with recorded(store) as statements:
        await store.sweep(Retention(SECOND, None, SECOND), None)
    steps = [step for _, plan in plans(url, statements) for step in plan]
    assert any("job_ended (status=? AND end_time>? AND end_time<?)" in step for step in steps), steps
    assert any("request_forgotten (forget_at>? AND forget_at<?)" in step for step in steps), steps


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_claim_does_not_feel_the_queue(store: SqlStore, slots: int) -> None:
    """A claim costs the same with 200 and with 6,000 jobs queued, jobs of unloaded types in front
    included.
    """
    await queue(store, 200)
    await queue(store, 1, kind="a-type-not-loaded")
    short = await cost(store, slots)
    await queue(store, 3000, kind="a-type-not-loaded")
    await queue(store, 3000)
    assert await cost(store, slots) <= 1.2 * short


async def test_a_claim_does_not_feel_the_tenants(store: SqlStore) -> None:
    """A claim of 16 slots costs the same with 20 and with 1,000 tenants that wait."""
    await queue(store, 100, tenants=20)
    few = await cost(store, 16)
    await queue(store, 3000, tenants=1000)
    assert await cost(store, 16) <= 1.2 * few


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_claim_does_not_feel_who_is_at_a_limit(store: SqlStore, slots: int) -> None:
    """A claim costs the same behind 300 and behind 6,000 jobs of an owner who has no room for one
    more.
    """
    await set_gate(store, Scope.QUEUE, "default", max_running_per_owner=1)
    full = [submission(owner="full", priority=1) for _ in range(6000)]
    others = [submission(owner=f"other-{number:03}") for number in range(50)]
    await asyncio.gather(*(store.submit(asked) for asked in full[:300] + others))
    assert [one.job.owner for one in await claim(store)] == ["full"]
    short = await cost(store, slots)
    await asyncio.gather(*(store.submit(asked) for asked in full[300:]))
    assert await cost(store, slots) <= 1.2 * short


async def test_the_outbox_does_not_feel_what_is_parked(url: str) -> None:
    """A page of the outbox seeks behind its place in the index of its kind, and then by job; a
    backlog is counted in an index.
    """
    store = SqlStore.open(url, durable=False, broadcast=DEFAULT_KINDS)
    await end(store)
    with recorded(store) as statements:
        for parked in (False, True):
            await store.unsent(after=0, parked=parked, limit=1000)
        await store.backlog()
        await end(store)
    found = {statement: steps for statement, steps in plans(url, statements) if "outbox" in statement}
    steps = [step for plan in found.values() for step in plan]
    for index in ("outbox_open", "outbox_parked"):
        assert any(f"{index} (place>?)" in step for step in steps), steps
    assert any("outbox_by_job (job_id=?)" in step for step in steps), steps
    await store.close()
