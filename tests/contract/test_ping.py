"""Whether calls would be answered: what health follows."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from contract.operations import now, submit
from contract.tables import file_of
from sqlalchemy import Engine, event, make_url

from headrace_server.domain import requests
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.store import SqlStore, StoreRefused
from headrace_server.store.sql import of_url
from support.relay import Relay

TROUBLE = {
    "sqlite": sqlite3.OperationalError("disk I/O error"),
    "postgresql": psycopg.OperationalError("disk I/O error"),
}


@pytest.fixture
def fail(database: str) -> Callable[[Engine], Callable[[], None]]:
    """Lets each transaction of some connections fail, until what it answers is called."""

    def fail_at_begin(*_: Any) -> None:
        raise TROUBLE[database]

    def begin(engine: Engine) -> Callable[[], None]:
        event.listen(engine, "begin", fail_at_begin)
        return lambda: event.remove(engine, "begin", fail_at_begin)

    return begin


@pytest.mark.parametrize("what", ["reads", "writes"])
async def test_what_calls_need_and_the_probe_does_not(
    store: SqlStore, fail: Callable[[Engine], Callable[[], None]], what: str
) -> None:
    """Where a read or a write of a call has failed, one like it is tried, until it succeeds, though
    the database answers the probe.
    """
    made = await submit(store)
    heal = fail(getattr(store._engines, what))
    await store.ping(1)  # nobody has met it yet
    with pytest.raises(StoreUnavailable, match="disk I/O error"):
        await (now(store, made) if what == "reads" else submit(store))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="disk I/O error"):
            await store.ping(1)
    heal()
    await store.ping(1)
    await submit(store)


async def test_a_write_that_others_keep_waiting(store: SqlStore, url: str, database: str) -> None:
    """A write that waits for a lock of another process for longer than an answer may take is no
    answer; when it is done, all is well.
    """
    made = await submit(store)
    lock = "BEGIN IMMEDIATE" if database == "sqlite" else "BEGIN; LOCK TABLE job IN EXCLUSIVE MODE"
    with closing(connect(url, database)) as other:
        other.execute(lock)
        waits = asyncio.ensure_future(store.apply(made.job_id, requests.release, tenant=None))
        while "a write has taken" not in await said(store):
            pass  # until the write has begun, and then for the seconds of a question
        other.execute("ROLLBACK")
    await asyncio.gather(waits, return_exceptions=True)
    while await said(store):
        pass  # until it is well again


async def said(store: SqlStore) -> str:
    """Why the store does not answer; nothing when it does."""
    try:
        await store.ping(1)
    except StoreUnavailable as error:
        return str(error)
    return ""


def connect(url: str, database: str) -> Any:
    """A connection of another process, as it were."""
    if database == "sqlite":
        return sqlite3.connect(file_of(url), isolation_level=None)
    return psycopg.connect(url, autocommit=True)


@pytest.mark.only("sqlite")
async def test_a_file_that_is_gone(store: SqlStore, url: str) -> None:
    """Without its file the database does not answer, by name; put back it does."""
    path = file_of(url)
    aside = path.rename(path.with_name("aside"))
    with pytest.raises(StoreUnavailable, match=f"{path} was deleted"):
        await store.ping(1)
    assert not path.exists()
    aside.rename(path)
    await store.ping(1)


@pytest.mark.only("postgresql")
async def test_a_server_that_says_nothing(url: str) -> None:
    """A link that is silent is no answer within the time, though no error comes; it is asked anew
    when the link is there again.
    """
    whole = make_url(url)
    with Relay(f"{whole.host}:{whole.port or 5432}") as link:
        host, _, port = link.target.partition(":")
        away = whole.set(host=host, port=int(port)).render_as_string(hide_password=False)
        store = SqlStore.open(away, durable=False)
        await store.ping(1)
        link.fall_silent()
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.2 s"):
            await store.ping(0.2)
        link.heal()
        await store.ping(1)
        await store.close()


@pytest.mark.only("postgresql")
async def test_a_server_that_takes_no_writes(store: SqlStore, url: str) -> None:
    """A server on which transactions are read-only, such as one that has become a standby, does not
    count as there.
    """
    await store.ping(1)
    name = make_url(url).database
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'headrace probe'"
        )
    with pytest.raises(StoreUnavailable):
        await store.ping(1)  # its connection has ended
    with pytest.raises(StoreUnavailable, match="takes no writes"):
        await store.ping(1)


@pytest.mark.only("postgresql")
@pytest.mark.parametrize("wanted", ["any", "read-write", "primary"])
async def test_sessions_that_take_writes_are_what_may_be_asked_for(url: str, wanted: str) -> None:
    """With target_session_attrs that a primary fulfils, the store reads and writes."""
    store = SqlStore.open(f"{url}?target_session_attrs={wanted}", durable=False)
    assert await now(store, made := await submit(store)) == made
    await store.close()


@pytest.mark.parametrize("wanted", ["read-only", "standby", "prefer-standby"])
@pytest.mark.parametrize("place", ["url", "environment"])
def test_sessions_that_take_none_are_refused(
    wanted: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL or an environment that asks for a server that takes no writes is refused, with the
    cause and what to write instead.
    """
    url = "postgresql://127.0.0.1:1/jobs"
    if place == "url":
        url += f"?target_session_attrs={wanted}"
    else:
        monkeypatch.setenv("PGTARGETSESSIONATTRS", wanted)
    with pytest.raises(StoreRefused, match=f"target_session_attrs={wanted} .* give read-write or primary"):
        of_url(url).engines(url, durable=True)
