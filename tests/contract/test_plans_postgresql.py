"""What queries cost on PostgreSQL, in plans as they were carried out: each statement reads what it
needs and no more.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from contract.operations import LOST, SECOND, Clock, claim, end, run, set_gate, submission, submit
from contract.tables import connected
from sqlalchemy import event

from headrace_server.domain.broadcast import DEFAULT_KINDS
from headrace_server.domain.gate import Scope
from headrace_server.domain.retention import Retention
from headrace_server.store import SqlStore
from headrace_server.store.claim import candidates

pytestmark = [pytest.mark.only("postgresql"), pytest.mark.deep]

Plan = dict[str, Any]


@contextmanager
def carried_out(store: SqlStore) -> Iterator[list[Plan]]:
    """The plan of every statement of the store meanwhile, with the rows that it met: auto_explain
    tells them.
    """
    plans: list[Plan] = []

    def hear(diagnostic: Any) -> None:
        _, _, plan = (diagnostic.message_primary or "").partition("plan:\n")
        if plan:
            plans.append(json.loads(plan))

    def listen(connection: Any) -> None:
        driver = connection.connection.driver_connection
        if driver not in heard:
            heard.append(driver)
            driver.add_notice_handler(hear)
            cursor = driver.cursor()
            cursor.execute("LOAD 'auto_explain'")
            for name, value in SETTINGS.items():
                cursor.execute(f"SET {name} = {value}")

    heard: list[Any] = []
    for engine in store._engines:
        event.listen(engine, "begin", listen)
    yield plans
    for engine in store._engines:
        event.remove(engine, "begin", listen)
    for driver in heard:
        driver.remove_notice_handler(hear)


SETTINGS = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "client_min_messages": "log",
}


def nodes(plan: Plan) -> Iterator[Plan]:
    """Every step of a plan."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def met(step: Plan) -> float:
    """The rows that a step has met, thrown away ones included."""
    rows = step["Actual Rows"] + step.get("Rows Removed by Filter", 0)
    return float((rows + step.get("Rows Removed by Index Recheck", 0)) * step["Actual Loops"])


def costly(plans: list[Plan], most: int) -> dict[str, list[str]]:
    """Statements with a step that scans a table or meets more rows than this."""
    return {
        plan["Query Text"]: [
            f"{step['Node Type']} {step.get('Relation Name', '')} {met(step)}" for step in bad
        ]
        for plan in plans
        if (bad := [step for step in nodes(plan["Plan"]) if _bad(step, most)])
    }


def _bad(step: Plan, most: int) -> bool:
    # `writer` is a few rows; what is generated from a parameter is none of the tables.
    return (step["Node Type"] == "Seq Scan" and step.get("Relation Name") != "writer") or met(step) > most


async def life(store: SqlStore, clock: Clock, number: int) -> None:
    """Everything that becomes of jobs."""
    tenant = f"new-{number}"
    await set_gate(store, Scope.TENANT, tenant, max_running=9, max_running_per_owner=3)
    await submit(store, request_id=f"r{number}", tenant=tenant, kind="w")
    await run(store, tenant=tenant, kind="u", expire_time=clock.now + 10**9)
    ended = await end(store, kind="v")
    await store.submit(submission("w", request_id=f"r{number}", tenant=tenant))
    await store.get(ended.job_id, tenant="default", payload=True)
    await store.events(ended.job_id, after=1, limit=5)
    clock.pass_time(1)
    await store.run_timers()
    await store.recover(LOST, confirmed=True)
    await store.delete(ended.job_id, tenant="default")
    old = [await end(store, kind="x", request_id=f"old-{number}-{n}") for n in range(2)]
    await store.purge([old[0].job_id], tenant="default")
    clock.pass_time(2 * 86_400)
    assert (await store.sweep(Retention(86_400 * SECOND, None, None), None)).jobs > 0


async def test_hot_statements_seek(store: SqlStore, clock: Clock) -> None:
    """Statements planned on empty tables, and kept, still meet a handful of rows each when there
    are 4,000 jobs.
    """
    for number in range(8):
        await life(store, clock, number)
    await asyncio.gather(*(submit(store, tenant=f"t{n % 5}", request_id=f"many-{n}") for n in range(4000)))
    with carried_out(store) as plans:
        await life(store, clock, 99)
    assert len(plans) > 30
    assert costly(plans, 40) == {}


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_claim_does_not_feel_the_queue(store: SqlStore, slots: int) -> None:
    """With 4,000 jobs of two types and 500 tenants queued, no step of a claim meets more rows than
    slots call for.
    """
    kinds = ["t", "u"]
    await claim(store, slots, kinds=kinds)
    await asyncio.gather(
        *(submit(store, kind=kinds[n % 2], tenant=f"t{n % 500:03}", priority=n % 3) for n in range(4000))
    )
    for _ in range(6):
        assert len(await claim(store, slots, kinds=kinds)) == slots
    with carried_out(store) as plans:
        assert len(await claim(store, slots, kinds=kinds)) == slots
    assert len(plans) > 5
    assert costly(plans, 10 * (slots + 1)) == {}


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_claim_does_not_feel_who_is_at_a_limit(store: SqlStore, slots: int) -> None:
    """With 3,000 jobs of an owner without room in front, no step of a claim meets more rows than it
    looks at owners.
    """
    await claim(store, slots)
    await set_gate(store, Scope.QUEUE, "default", max_running=1000, max_running_per_owner=1)
    await asyncio.gather(*(submit(store, owner="full", priority=1) for _ in range(3000)))
    await asyncio.gather(*(submit(store, owner=f"other-{number:03}") for number in range(200)))
    assert [one.job.owner for one in await claim(store)] == ["full"]
    for _ in range(6):
        assert len(await claim(store, slots)) == slots
    with carried_out(store) as plans:
        assert len(await claim(store, slots)) == slots
    assert len(plans) > 8
    # Those at their limit are passed one by one; each is met by three steps that find its best.
    assert costly(plans, candidates.OWNERS + 8 * slots + 20) == {}


async def test_the_outbox_does_not_feel_what_is_parked(url: str) -> None:
    """A page of the outbox costs the same in front of many events, and behind many that no queue
    wants.
    """
    store = SqlStore.open(url, durable=False, broadcast=DEFAULT_KINDS)
    with connected(url) as connection:
        connection.exec_driver_sql(
            "INSERT INTO outbox (job_id, revision, previous, parked, tenant, type, kind, at, attempt, status) "
            "SELECT 'job-' || n / 4, mod(n, 4), 0, n < 20000, 't', 't', 1, n, 0, 1 FROM generate_series(1, 40000) AS n"
        )
        connection.commit()
        connection.connection.driver_connection.autocommit = True  # type: ignore[union-attr] # psycopg's
        connection.exec_driver_sql("ANALYZE outbox")
    with carried_out(store) as plans:
        for parked in (False, True):
            for after in (0, 5000, 25_000):
                await store.unsent(after=after, parked=parked, limit=1000)
        await end(store)
    pages = [plan for plan in plans if "outbox" in plan["Query Text"]]
    assert len(pages) >= 4
    assert costly(pages, most=2 * 1000) == {}
    await store.close()
