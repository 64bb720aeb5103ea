"""A SQLite file that is cut, and a log that is taken away, under a store that serves it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from contract.operations import now, submit
from contract.tables import file_of
from sqlalchemy import text

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import Job, Status
from headrace_server.store import SqlStore
from headrace_server.store.sql.pinned_files import PinnedFiles, pin
from headrace_server.store.sql.sqlite import writer_engine

pytestmark = pytest.mark.only("sqlite")

LONG = "x" * 3000


def log_of(url: str) -> Path:
    """The log beside the file of a SQLite database."""
    return Path(f"{file_of(url)}-wal")


async def filled(store: SqlStore, url: str, count: int = 20) -> list[Job]:
    """Jobs on pages of the database, not only in its log."""
    jobs = [await submit(store, description=LONG) for _ in range(count)]
    assert store._database.write_back(store._engines.writes)
    assert file_of(url).stat().st_size > count * len(LONG)
    return jobs


@pytest.mark.parametrize("left", [0, 4096, 40_000])
async def test_a_file_that_was_cut(store: SqlStore, url: str, left: int) -> None:
    """Nothing is answered from memory or written on behind it, not even the log: STORE_UNAVAILABLE
    says from what to what it was cut, for as long as the server runs.
    """
    made = (await filled(store, url))[0]
    path = file_of(url)
    whole = path.read_bytes()
    os.truncate(path, left)
    said = rf"{path} was cut from {len(whole)} to {left} bytes: stop the server and restore a copy"
    for asked in (submit(store), now(store, made), store.ping(1)):
        with pytest.raises(StoreUnavailable, match=said):
            await asked
    with pytest.raises(sqlite3.OperationalError, match=said):
        store._database.write_back(store._engines.writes)
    assert path.stat().st_size == left
    os.truncate(path, len(whole))  # as long as before, and no more what it was
    with pytest.raises(StoreUnavailable, match=said):
        await now(store, made)


async def test_a_vacuum_by_an_operator(store: SqlStore, url: str) -> None:
    """It makes the file shorter, and is none of that."""
    jobs = await filled(store, url, 100)
    before = file_of(url).stat().st_size
    with closing(sqlite3.connect(file_of(url), isolation_level=None)) as other:
        other.execute("UPDATE job SET description = ''")
        other.execute("VACUUM")
    assert store._database.write_back(store._engines.writes)
    assert file_of(url).stat().st_size < before
    assert (await now(store, jobs[0])).status is Status.QUEUED
    await submit(store)


def taken(log: Path, *, replaced: bool) -> Path:
    """Take a log away, and put an empty one there or none; answer where it is."""
    aside = log.rename(log.with_name("aside"))
    if replaced:
        log.touch()
    return aside


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_log_that_was_taken_away(store: SqlStore, url: str, replaced: bool) -> None:
    """What a restart would not find is not answered; put back, all goes on."""
    made = await submit(store)
    log = log_of(url)
    aside = taken(log, replaced=replaced)
    for asked in (submit(store), now(store, made), store.ping(1)):
        with pytest.raises(StoreUnavailable, match=rf"its log {log} was deleted or replaced: put it back"):
            await asked
    aside.replace(log)
    assert await now(store, made) == made
    await submit(store)


async def test_a_log_that_was_deleted(url: str) -> None:
    """A stop in order writes into the database what was answered."""
    first = SqlStore.open(url, durable=False)
    made = await submit(first)
    log_of(url).unlink()
    with pytest.raises(StoreUnavailable, match="or stop the server, which writes into the database"):
        await submit(first)
    await first.close()
    again = SqlStore.open(url, durable=False)
    assert await now(again, made) == made
    await again.close()


def test_a_log_that_is_made_anew(url: str) -> None:
    """Whose last connection was closed has no log, and makes another."""
    engine = writer_engine(url, durable=False)
    pin(engine, PinnedFiles(file_of(url)))
    for _ in range(3):
        with engine.begin() as connection:
            connection.execute(text("UPDATE duty SET turn = turn + 1"))
        assert log_of(url).exists()
        engine.dispose()
        assert not log_of(url).exists()
