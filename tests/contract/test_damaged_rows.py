"""Rows of which a column holds what it should not: SQLite keeps any value in any column, and a file
may be damaged.
"""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from contract.operations import LOST, SECOND, Clock, claim, end, finish, found, now, page, run, submit

from headrace_server.codec import answers, event_message, job_message
from headrace_server.control.watch.follow import Watch, WatchOptions
from headrace_server.control.watch.hub import Hub
from headrace_server.domain import requests
from headrace_server.domain.errors import WrongStatus
from headrace_server.domain.job import Job
from headrace_server.domain.query import Group, ParameterFilter
from headrace_server.domain.retention import Retention
from headrace_server.store import SqlStore
from headrace_server.store.tables import schema

pytestmark = pytest.mark.only("sqlite")
OTHERWISE = (
    "job_id",
    "locked",
    "status",
    "end_time",
    "labels",
    "retry",
    "progress",
    "error",
    "attempts",
    "stop",
)
"""By these it is found, or tests/contract/test_next_version damages them."""
PLAIN = [column.name for column in schema.job.columns if column.name not in OTHERWISE]
VALUES: dict[str, Any] = {
    "bytes": b"\xff\x00A",
    "no UTF-8": "CAST(x'ff41' AS TEXT)",
    "real": 0.5,
    "text": "abc",
}
NO_TEXT = ("bytes", "no UTF-8")


@pytest_asyncio.fixture
async def jobs(store: SqlStore, url: str) -> AsyncIterator[dict[str, Job]]:
    """A queued job for each column and each value that it should not hold."""
    made = {}
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for name in PLAIN:
            text = isinstance(schema.job.c[name].type, type(schema.TEXT))
            for value in NO_TEXT if text else VALUES:
                made[f"{name}: {value}"] = job = await submit(store)
                write(other, "job", name, VALUES[value], job)
    yield made


def write(other: sqlite3.Connection, table: str, column: str, value: Any, job: Job) -> None:
    """Damage a column of a job's row."""
    made, given = (value, ()) if str(value).startswith("CAST") else ("?", (value,))
    statement = f"UPDATE {table} SET {column} = {made} WHERE job_id = ?"  # noqa: S608 - ours, all of it
    other.execute(statement, (*given, job.job_id))


async def test_each_is_shown_and_told_of_once(
    store: SqlStore, jobs: dict[str, Job], caplog: pytest.LogCaptureFixture
) -> None:
    """Each is in the list of all tenants, with what stands beside the column, and the log names the
    job once; counts and watches go on.
    """
    assert len(jobs) > 60
    for _ in range(2):
        shown = {
            full.job.job_id: job_message.job_info(full)
            for full in await store.find(page(tenant=None, limit=1000))
        }
    for name, job in jobs.items():
        assert job.job_id in shown, name
        told = [one for one in caplog.records if getattr(one, "job_id", None) == job.job_id]
        assert len(told) == 1, (name, [one.getMessage() for one in told])
    for group in Group:
        counts = await store.count(None, page().filter, [group])
        assert sum(count for _, count in counts.groups) == len(shown)
    for name in ("revision: text", "type: bytes", "description: no UTF-8", "create_time: real"):
        async for told in Watch(store, Hub(10), "default", jobs[name].job_id, WatchOptions()).updates():
            assert answers.update(told) is not None
            break


async def test_nobody_is_harmed(store: SqlStore, jobs: dict[str, Job], clock: Clock) -> None:
    """Claims, timers, takeovers and retention go on beside them, and not one of them is begun or
    stopped: a caller is told why.
    """
    good = await submit(store, "good", run_after=clock.now + SECOND)
    clock.pass_time(2)
    await store.run_timers()
    assert [one.job.job_id for one in await claim(store, kinds=["t", "good"])] == [good.job_id]
    lost = await run(store, kind="lost")
    assert await store.recover(LOST, confirmed=True) == 2
    ended = await end(store, kind="ended")
    assert await store.purge([ended.job_id, *(job.job_id for job in jobs.values())], tenant="default") == 1
    clock.pass_time(10)
    swept = await store.sweep(Retention(SECOND, SECOND, SECOND), None)
    assert swept.jobs == 2
    assert len(await found(store, page(tenant=None, limit=1000))) == len(jobs)
    assert lost.job_id not in await found(store, page(limit=1000))
    for name, job in jobs.items():
        if not name.startswith("tenant"):
            with pytest.raises(WrongStatus, match="this version cannot read all of it"):
                await store.apply(
                    job.job_id,
                    lambda found, at: requests.request_stop(found, at, grace=1, reason="", requested_by=""),
                    tenant="default",
                )


async def test_an_ended_one_is_swept_though_its_history_is_not_understood(
    store: SqlStore, url: str, clock: Clock
) -> None:
    """A revision that is no number keeps neither it nor any other from retention."""
    both = [await end(store) for _ in range(2)]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        write(other, "job", "revision", "many", both[0])
    clock.pass_time(10)
    assert (await store.sweep(Retention(SECOND, SECOND, SECOND), None)).jobs == 2


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("column", ["kind", "at", "attempt", "status", "body"])
async def test_its_history_goes_on_behind_a_damaged_event(
    store: SqlStore, url: str, column: str, value: Any
) -> None:
    """An event of which a column is damaged is shown without it."""
    job = await end(store)
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        write(other, "job_event", column, value, job)
        write(other, "job_parameters", "body", VALUES["no UTF-8"], job)
        write(other, "job_result", "body", VALUES["bytes"], job)
    events = await store.events(job.job_id, after=0, limit=100)
    assert [event_message.job_event(event).revision for event in events] == list(range(1, job.revision + 1))
    assert job_message.job_info(await store.get(job.job_id, tenant="default", payload=True)).final
    assert (await now(store, await submit(store, parameters=json.dumps({"a": 1})))).ready


@pytest.mark.parametrize("body", ["{", "no JSON", "", b"\xff\x00", "[" * 2000])
async def test_a_filter_passes_over_what_is_no_json(store: SqlStore, url: str, body: Any) -> None:
    """Lists by labels and by parameters give the others, whatever one row holds in their place."""
    given = {"labels": {"team": "red"}, "parameters": json.dumps({"n": "one"})}
    bad, good = [await submit(store, **given) for _ in range(2)]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        write(other, "job", "labels", body, bad)
        write(other, "job_parameters", "body", body, bad)
    for which in (
        {"labels": {"team": "red"}},
        {"parameters": (ParameterFilter("n", equals="one"),)},
        {"parameters": (ParameterFilter("n", prefix="o"),)},
    ):
        assert await found(store, page(types=("t",), **which)) == [good.job_id]


@pytest.mark.parametrize("number", [-1, 2**31 - 1, 2**63 - 1])
@pytest.mark.parametrize("column", ["revision", "version"])
async def test_a_number_from_which_none_can_count_on(
    store: SqlStore, url: str, column: str, number: int
) -> None:
    """A job with such a revision or version is shown, a caller who changes it is told why, and the
    end of its run is written.
    """
    running, waiting = await run(store), await submit(store)
    described = partial(requests.update, fields={"description": "new"}, etag="")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        for job in (waiting, running):
            write(other, "job", column, number, job)
    assert (await now(store, waiting)).illegible == column
    with pytest.raises(WrongStatus, match=rf"this version cannot read all of it \({column}\)"):
        await store.apply(waiting.job_id, described, tenant="default")
    await finish(store, running)
    assert (await now(store, running)).status.final
