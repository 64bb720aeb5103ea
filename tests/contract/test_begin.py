"""How a transaction begins, and what becomes of it when it begins otherwise: planted bugs are
caught, the product has none.

Two stores on one file claim in the same moment; before its first write each waits until the other
has read too.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from contract.operations import Clock, claim, now, submit
from contract.tables import connected
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.ports.claims import Claimed
from headrace_server.store import SqlStore
from headrace_server.store.sql import sqlite
from support.faults import Act, Faults

pytestmark = pytest.mark.only("sqlite")

BUSY_SECONDS = sqlite.BUSY_TIMEOUT_MS / 1000


class Meeting(Faults):
    """Where two writers meet once, between what they read and what they write: for at most so many
    seconds.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.on = False
        self.met = 0
        self._seconds = seconds
        self._barrier = threading.Barrier(2)

    def reach(self, what: str, _connection: sqlite3.Connection, act: Act, _part: Act | None = None) -> Any:
        """Wait for the other before the first write."""
        if self.on and self.met < self._barrier.parties and what.startswith("UPDATE"):
            with suppress(threading.BrokenBarrierError):
                self._barrier.wait(self._seconds)
                self.met += 1
        return act()


@dataclass(frozen=True)
class Way:
    """How transactions begin: the statement, and what the driver does by itself."""

    begin: str
    isolation_level: str | None
    meets: float


PRODUCT = Way("BEGIN IMMEDIATE", None, 0.5)  # the other cannot come
DEFERRED = Way("BEGIN", None, 60)
DRIVERS_OWN = Way("SELECT 1", "", 60)  # SQLAlchemy's default: a transaction begins with the first write
TWICE = "IntegrityError: UNIQUE constraint failed: job_event.job_id, job_event.revision"


@asynccontextmanager
async def two_stores(
    url: str, way: Way, meeting: Meeting, plant: pytest.MonkeyPatch
) -> AsyncIterator[list[SqlStore]]:
    """Two stores on one file whose writers begin in this way."""
    set_up = sqlite.set_up

    def set_up_so(engine: Engine, *, begin: str, pragmas: Mapping[str, int | str]) -> None:
        set_up(engine, begin=way.begin if "IMMEDIATE" in begin else begin, pragmas=pragmas)

        @event.listens_for(engine, "connect")
        def connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = way.isolation_level

    plant.setattr(sqlite, "set_up", set_up_so)
    with meeting.planted():
        stores = [SqlStore.open(url, durable=False, clock=Clock()) for _ in range(2)]
        try:
            yield stores
        finally:
            for store in stores:
                await store.close()


async def claims_of_two(
    url: str, way: Way, plant: pytest.MonkeyPatch
) -> tuple[list[Claimed | BaseException], int]:
    """What two claims that come together get of two jobs, and the claim number of the first job
    afterwards.
    """
    meeting = Meeting(way.meets)
    async with two_stores(url, way, meeting, plant) as (one, other):
        first, _ = [await submit(one), await submit(one)]
        meeting.on = True
        answers = await asyncio.gather(claim(one), claim(other), return_exceptions=True)
        meeting.on = False
        assert meeting.met == (0 if way is PRODUCT else 2), "the plant did not hold"
        taken = [one for answer in answers for one in (answer if isinstance(answer, list) else [answer])]
        return taken, (await now(one, first)).claim


def each_has_its_own(taken: list[Claimed | BaseException]) -> None:
    """Raise unless both claims were answered, with different jobs."""
    for answer in taken:
        if isinstance(answer, BaseException):
            raise answer
    ids = [answer.job.job_id for answer in taken if isinstance(answer, Claimed)]
    assert len(set(ids)) == len(ids) == 2, f"one job was claimed twice: {ids}"


async def test_begin_immediate(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two claims in the same moment: the second waits for the first, and each gets a job of its own
    (failure case 10, 16).
    """
    taken, claims = await claims_of_two(url, PRODUCT, monkeypatch)
    each_has_its_own(taken)
    assert claims == 1
    assert TWICE not in caplog.text


async def test_a_planted_deferred_begin(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plain BEGIN the same assertion fails: the loser is told `locked` at once, without the
    wait it was promised.
    """
    began = time.monotonic()
    taken, _ = await claims_of_two(url, DEFERRED, monkeypatch)
    with pytest.raises(StoreUnavailable, match="database is locked"):
        each_has_its_own(taken)
    assert time.monotonic() - began < BUSY_SECONDS, "it did not fail at once"


async def test_a_planted_missing_begin(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With SQLAlchemy's and the driver's own transactions both claim one job: only the key of its
    history refuses the second, which is claimed anew.
    """
    taken, _ = await claims_of_two(url, DRIVERS_OWN, monkeypatch)
    assert caplog.text.count(TWICE) == 1
    each_has_its_own(taken)
    caplog.clear()  # the traceback of a write that failed keeps the connection that it went through


def test_a_refused_begin_is_an_error_of_sqlalchemy(url: str) -> None:
    """Whoever opens a database catches SQLAlchemy's errors: a BEGIN that finds it locked is one."""
    engine = sqlite.writer_engine(url, durable=False)
    try:
        with connected(url) as other, engine.connect() as connection:
            other.begin()
            connection.connection.cursor().execute("PRAGMA busy_timeout = 0").close()
            with pytest.raises(OperationalError, match="database is locked"):
                connection.begin()
    finally:
        engine.dispose()
