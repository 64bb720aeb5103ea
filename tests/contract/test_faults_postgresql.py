"""A fault at every statement and every COMMIT on PostgreSQL, of the life that
contract/test_faults.py lives on SQLite.

There the store is alone with its file; here connections are lost, and with them the answers of
COMMITs.
"""

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from contract.test_faults import flat

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.store import SqlStore
from support import faults_rows
from support.faults_life import WRITES, Answers, Clock, Life
from support.faults_postgresql import Fault, Faults, answer_lost, cancelled, deadlock, lost

pytestmark = [pytest.mark.only("postgresql"), pytest.mark.deep]

ASIDE = ("batch", "writer", "instance")
"""Tables that say nothing of a job: how often was begun may differ."""


class OrderedLife(Life):
    """A life in which the claims of a step come behind all else: they have a connection of their
    own.
    """

    def __init__(self, store: SqlStore, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock)
        self._faults = faults
        self.folded = 0
        """How many points the last step had before its claims."""

    async def batch(self, *asked: Awaitable[Any]) -> Answers:
        """Ask for what changes jobs in one batch; then, unless that was refused as a whole, for the
        claims.
        """
        places = {place: self._is_claim(one) for place, one in enumerate(asked)}
        answers: Answers = [StoreUnavailable("not asked")] * len(asked)
        for claims in (False, True):
            these = [place for place, claim in places.items() if claim is claims]
            if claims:
                self.folded = len(self._faults.passed)
            if claims and any(
                isinstance(answer, StoreUnavailable) for answer in answers[: these[0] if these else 0]
            ):
                for place in these:
                    asked[place].close()  # type: ignore[attr-defined] # coroutines
                break
            found = await super().batch(*(asked[place] for place in these))
            for place, answer in zip(these, found, strict=True):
                answers[place] = answer
        return answers

    @staticmethod
    def _is_claim(one: Any) -> bool:
        return bool(one.cr_code.co_name == "claim")


@dataclass
class Place:
    """A database of a life's own, and its faults."""

    url: str
    view: faults_rows.Postgresql
    faults: Faults = field(default_factory=Faults)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[OrderedLife]:
        """A life from its beginning."""
        self.view.empty()
        with self.faults.planted():
            clock = Clock()
            store = SqlStore.open(self.url, durable=False, clock=clock)
            try:
                yield OrderedLife(store, clock, self.faults)
            finally:
                self.faults.arm()
                await store.close()

    def rows(self) -> faults_rows.Rows:
        """What lies in the database, which agrees."""
        faults_rows.check_on(self.view)  # type: ignore[arg-type] # used as one
        return {table: rows for table, rows in self.view.read().items() if table not in ASIDE}


@pytest.fixture
def place(url: str) -> Iterator[Place]:
    """A place for one life after another."""
    view = faults_rows.Postgresql(url)
    yield Place(url, view)
    view.close()


Seen = tuple[list[str], int, str, Any, faults_rows.Rows]


async def without_fault(place: Place) -> list[Seen]:
    """Of each step: its points, how many of them before its claims, its answers, what was told, the
    rows.
    """
    seen: list[Seen] = []
    async with place.life() as life:
        for step in WRITES:
            place.faults.arm()
            answers = repr(await step(life))
            seen.append((place.faults.passed, life.folded, answers, flat(life.told), place.rows()))
    return seen


KINDS: dict[str, Fault] = {
    "connection lost": lost,
    "answer and connection lost": answer_lost,
    "statement cancelled": cancelled,
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
async def test_trouble_at_every_statement_of_postgresql(place: Place, kind: str) -> None:
    """Whatever is lost at any statement: the batch is refused as a whole and nothing of it is
    stored or told (failure case 8).
    """
    reference = await without_fault(place)
    struck = 0
    async with place.life() as life:
        before = place.rows()
        for step, (points, folded, answers, told, rows) in zip(WRITES, reference, strict=True):
            said = flat(life.told)
            for at, point in enumerate(points[: folded or len(points)], 1):
                if point == "COMMIT":
                    continue
                place.faults.arm(at, KINDS[kind])
                refused = await step(life)
                where = f"{step.__name__}, {at}: {place.faults.struck}"
                assert place.faults.struck == point, where
                assert {type(answer) for answer in refused} == {StoreUnavailable}, where
                assert flat(life.told) == said, f"told of what is not stored: {where}"
                assert place.rows() == before, f"half a batch is stored: {where}"
                struck += 1
            place.faults.arm()
            assert repr(await step(life)) == answers
            assert flat(life.told) == told
            before = place.rows()
            assert before == rows
    print(f"{struck} faults")
    assert struck > 4 * len(WRITES)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_lost_commit_of_postgresql_is_settled(place: Place, kind: str) -> None:
    """A COMMIT whose answer is lost, whether it was carried out or not: the batch is done once,
    answered and told as if nothing had been (failure case 8).
    """
    reference = await without_fault(place)
    async with place.life() as life:
        for step, (points, _folded, answers, told, rows) in zip(WRITES, reference, strict=True):
            place.faults.arm(points.index("COMMIT") + 1, KINDS[kind])
            assert repr(await step(life)) == answers, step.__name__
            assert place.faults.struck == "COMMIT"
            assert flat(life.told) == told, step.__name__
            assert place.rows() == rows, step.__name__


@pytest.mark.timeout(600)
async def test_a_deadlock_at_every_statement_of_postgresql(place: Place) -> None:
    """A transaction that the server ends because another was in its way is done again, wherever
    that was: nobody hears of it.
    """
    reference = await without_fault(place)
    for first in range(1, max(len(points) for points, *_ in reference) + 1):
        async with place.life() as life:
            for step, (points, _folded, answers, told, rows) in zip(WRITES, reference, strict=True):
                at = min(first, points.index("COMMIT"))
                place.faults.arm(at, deadlock)
                assert repr(await step(life)) == answers, f"{step.__name__}, {points[at - 1]}"
                assert place.faults.struck == points[at - 1]
                assert flat(life.told) == told, step.__name__
                assert place.rows() == rows, step.__name__
