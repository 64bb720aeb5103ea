"""Bulk verbs over a store: page by page, with a token where time is over."""

import asyncio
from functools import partial

import pytest
from contract.operations import Clock, found, never_asked, page, submission

from headrace_server.config import Settings
from headrace_server.control.jobs import bulk
from headrace_server.control.jobs.bulk import Bulk, StopFirst
from headrace_server.control.watch.hub import Hub
from headrace_server.domain import requests
from headrace_server.domain.errors import InvalidPageToken
from headrace_server.domain.query import Filter, Selection
from headrace_server.domain.retention import PORTION_JOBS
from headrace_server.store import SqlStore
from headrace_server.wiring import limits_of
from headrace_server.work.catalog.registry import Registry

ASK = partial(requests.request_stop, grace=0, reason="purged", requested_by="")
MANY = 2 * PORTION_JOBS + 50


@pytest.fixture
def verb(store: SqlStore) -> Bulk:
    """The verbs over the store."""
    return Bulk(store, Hub(10), Registry(never_asked), limits_of(Settings()))


async def test_pages_go_on_with_a_token(
    store: SqlStore, clock: Clock, verb: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has used up its time answers what it has done and a token; the next go on, until
    all are met once.
    """
    monkeypatch.setattr(bulk, "WORK_SECONDS", 0.0)
    await asyncio.gather(*(store.submit(submission(hold=True, owner="ann")) for _ in range(MANY)))
    clock.pass_time(1)
    kept = (await store.submit(submission(hold=True))).job.job
    mine = Filter(owners=("ann",))
    stopped, token = [], ""
    while not stopped or token:
        done = await verb.stop(Selection("default", mine, token), ASK, dry=False)
        stopped.append(done.stopped)
        token = done.token
    assert stopped == [PORTION_JOBS, PORTION_JOBS, 50]
    first = await verb.purge(Selection("default", mine, ""), None, dry=False)
    with pytest.raises(InvalidPageToken):
        await verb.stop(Selection("default", mine, first.token), ASK, dry=False)
    second = await verb.purge(Selection("default", mine, first.token), None, dry=False)
    third = await verb.purge(Selection("default", mine, second.token), None, dry=False)
    assert [done.purged for done in (first, second, third)] == stopped
    assert third.token == ""
    assert await found(store, page()) == [kept.job_id]


async def test_what_waits_is_stopped_and_deleted(store: SqlStore, verb: Bulk) -> None:
    """A purge that stops first leaves nothing of jobs that had not begun: no row that could be
    claimed, no timer.
    """
    await asyncio.gather(*(store.submit(submission(expire_time=2 * 10**15)) for _ in range(MANY)))
    done = await verb.purge(Selection("default", Filter(types=("t",)), ""), StopFirst(ASK, 0), dry=False)
    assert (done.purged, done.stopping, done.token) == (MANY, 0, "")
    assert await found(store, page()) == []
    assert store.waiting == 0
    assert await store.run_timers() is None
