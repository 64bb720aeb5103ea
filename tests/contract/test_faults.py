"""A fault at every statement and every COMMIT of a life that does each kind of the store's work.

A life without a fault says how it ought to be: what is answered, what is told, which rows are left.
"""

import asyncio
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace_server.domain.change import Change
from headrace_server.domain.errors import JobNotFound, StoreUnavailable
from headrace_server.store import SqlStore
from support import faults_rows
from support.faults import (
    DISK_FULL,
    TROUBLE,
    Fault,
    Faults,
    dies,
    does_and_dies,
    done_and_failed,
    fails,
)
from support.faults_life import (
    LOST,
    WRITES,
    Clock,
    Life,
    claims,
    claims_again,
    claims_both,
    reads,
    recovery,
    timers,
)
from support.listeners import Recorder

pytestmark = [pytest.mark.only("sqlite"), pytest.mark.deep]
JOB_BY_JOB = (claims, claims_both, claims_again, timers, recovery)
"""What the store does again, each job for itself, where one thing may be in the way of all."""


@dataclass
class Place:
    """A database of a life's own, and its faults."""

    path: Path
    faults: Faults

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Life]:
        """A life from its beginning."""
        with self.faults.planted():
            clock = Clock()
            store = SqlStore.open(f"sqlite:///{self.path}", durable=False, clock=clock)
            try:
                yield Life(store, clock)
            finally:
                self.faults.arm()
                await store.close()

    def rows(self) -> faults_rows.Rows:
        """What lies in the database, which agrees."""
        faults_rows.check(self.path, whole=False)
        return faults_rows.read(self.path)


@dataclass(frozen=True)
class Reference:
    """A life without a fault: the statements of each step, its answers, what had been told and was
    stored after it.
    """

    points: list[list[str]]
    answers: list[str]
    told: list[list[tuple[Any, ...]]]
    rows: list[faults_rows.Rows]

    @property
    def final(self) -> faults_rows.Rows:
        """The rows that it leaves."""
        return self.rows[-1]


def flat(told: Sequence[Change]) -> list[tuple[Any, ...]]:
    """What was told, however it was bundled: each job's events in order, and each job in its last
    state.
    """
    events = [event for change in told for event in change.events]
    last = {change.job.job_id: change.job for change in told}
    return sorted((repr(event) for event in events), key=str) + sorted(map(repr, last.values()))  # type: ignore[return-value]


@pytest.fixture
def place(tmp_path: Path, template: Path) -> Place:
    """A place for one life."""
    return new_place(tmp_path, template, "jobs")


def new_place(folder: Path, template: Path, name: str) -> Place:
    """A place with this name."""
    return Place(Path(shutil.copy(template, folder / f"{name}.db")), Faults())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Reference:
    """A life without a fault."""
    folder = tmp_path_factory.mktemp("reference")
    return asyncio.run(without_fault(new_place(folder, template, "jobs")))


async def without_fault(place: Place) -> Reference:
    """Live it."""
    seen = Reference([], [], [], [])
    async with place.life() as life:
        for step in WRITES:
            place.faults.arm()
            seen.answers.append(repr(await step(life)))
            seen.points.append(place.faults.passed)
            seen.told.append(flat(life.told))
            seen.rows.append(place.rows())
    return seen


def test_the_life_is_whole(reference: Reference) -> None:
    """Each step of the life is one transaction, and together they meet every statement that writes
    a table.
    """
    for step, points in zip(WRITES, reference.points, strict=True):
        print(f"{step.__name__:12} {len(points):2} {', '.join(points)}")
        assert (points[0], points.count("COMMIT"), points[-1]) == ("BEGIN IMMEDIATE", 1, "COMMIT")
    met = {point for points in reference.points for point in points}
    written = {point.split()[-1] for point in met if point.startswith(("INSERT", "DELETE"))}
    assert written == {"job", "job_event", "job_parameters", "job_result", "ready", "request", "timer"}
    assert "UPDATE job SET" in met


@pytest.mark.parametrize("kind", [*TROUBLE, "done, and full all the same"])
async def test_trouble_at_every_statement(place: Place, reference: Reference, kind: str) -> None:
    """Trouble at any statement or COMMIT: every caller of the batch is told so, nothing is stored
    or told, the records that others hold stay as they are, and it goes on (failure case 9, 10).
    """
    fault: Fault = TROUBLE.get(kind) or done_and_failed(DISK_FULL)
    struck = 0
    async with place.life() as life:
        before = place.rows()
        for step, points, answers, told, rows in zip(
            WRITES, reference.points, reference.answers, reference.told, reference.rows, strict=True
        ):
            said = flat(life.told)
            # What is carried out by COMMIT is carried out: that SQLite says no afterwards does not
            # happen.
            most = len(points) - (kind not in TROUBLE)
            for at in range(1, most + 1):
                place.faults.arm(at, fault)
                refused = await step(life)
                where = f"{step.__name__}, {place.faults.struck}"
                assert place.faults.struck == points[at - 1]
                assert {type(answer) for answer in refused} == {StoreUnavailable}, where
                assert flat(life.told) == said, f"told of what is not stored: {where}"
                assert life.told_is_as_it_was(), f"a record that others hold was changed: {where}"
                assert place.rows() == before, f"half a batch is stored: {where}"
                struck += 1
            place.faults.arm()
            assert repr(await step(life)) == answers
            assert flat(life.told) == told
            before = place.rows()
            assert before == rows
        assert struck == sum(map(len, reference.points)) - (kind not in TROUBLE) * len(WRITES)
        print(f"{struck} faults")


async def test_an_unexpected_exception_at_every_statement(
    tmp_path: Path, template: Path, reference: Reference
) -> None:
    """An exception that no database raises harms at most the one piece of work that stood alone;
    repeated, that is done too.

    Claims, timers and recovery are repeated by the store itself, job by job.
    """
    alone = 0
    for number, points in enumerate(reference.points):
        for at in range(1, len(points) + 1):
            place = new_place(tmp_path, template, f"{number}-{at}")
            async with place.life() as life:
                for step in WRITES[:number]:
                    await step(life)
                place.faults.arm(at, fails(ZeroDivisionError("unexpected")))
                answers = await WRITES[number](life)
                assert place.faults.struck == points[at - 1]
                place.rows()
                failed = [answer for answer in answers if isinstance(answer, ZeroDivisionError)]
                if len(answers) == 1 and WRITES[number] not in JOB_BY_JOB:
                    assert failed == answers
                    answers = await WRITES[number](life)
                    alone += 1
                else:
                    assert failed == [], f"{points[at - 1]} harmed {len(failed)} of {len(answers)}"
                assert repr(answers) == reference.answers[number]
                assert flat(life.told) == reference.told[number]
                assert place.rows() == reference.rows[number]
            place.path.unlink()
    assert alone > 0


@pytest.mark.parametrize("kind", TROUBLE)
async def test_trouble_at_every_read(place: Place, kind: str) -> None:
    """Trouble at any statement of a read is STORE_UNAVAILABLE; the next read is answered."""
    async with place.life() as life:
        for step in WRITES:
            await step(life)
        await reads(life)  # Both readers are connected.
        await asyncio.gather(reads(life), reads(life))
        place.faults.arm()
        expected = repr(await reads(life))
        points = [point for point in place.faults.passed if point != "ROLLBACK"]
        struck = 0
        for at in range(1, len(points) + 1):
            place.faults.arm(at, TROUBLE[kind])
            with pytest.raises(StoreUnavailable, match="cannot be read now"):
                await reads(life)
            struck += bool(place.faults.struck)
            place.faults.arm()
            assert repr(await reads(life)) == expected
        assert struck == len(points) > 0


def lives_and_dies(path: Path, said: Path, at: int, fault: Fault) -> None:
    """In a process of its own: live, note what is told and answered, and die at a point of the
    whole life.
    """
    asyncio.run(_live(Place(path, Faults()), said, at, fault))


async def _live(place: Place, said: Path, at: int, fault: Fault) -> None:
    async with place.life() as life:
        with said.open("a", buffering=1) as note:
            life.store.listeners.append(
                Recorder(
                    committed=lambda changes: note.writelines(
                        f"{change.job.job_id} {change.job.revision} {int(change.job.status)}\n"
                        for change in changes
                    )
                )
            )
            place.faults.arm(at, fault)
            for step in WRITES:
                await step(life)


@pytest.fixture
def processes() -> Iterator[Any]:
    """Processes that have loaded everything before they are begun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "headrace_server.store", "support.faults_life"])
    yield context
    # multiprocessing ends its servers with the process only.
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined] # not public
    multiprocessing.resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined] # not public
    multiprocessing.util._run_finalizers()  # type: ignore[attr-defined] # not public


@pytest.mark.timeout(900)
async def test_a_kill_at_every_statement_and_after_every_commit(
    tmp_path: Path, template: Path, reference: Reference, processes: Any
) -> None:
    """Killed before any statement or right after a COMMIT, a store leaves whole batches, all that
    it has told, and can go on (failure case 1, 22).
    """
    empty = new_place(tmp_path, template, "empty")
    async with empty.life():
        pass
    stored = [empty.rows(), *reference.rows]
    at = 0
    for number, points in enumerate(reference.points):
        for point in points:
            at += 1
            deaths = [(dies, number)] + [(does_and_dies, number + 1)] * (point == "COMMIT")
            for fault, whole in deaths:
                place = new_place(tmp_path, template, f"{at}-{whole}")
                said = tmp_path / f"{at}-{whole}.said"
                child = processes.Process(target=lives_and_dies, args=(place.path, said, at, fault))
                child.start()
                child.join(60)
                assert child.exitcode == -signal.SIGKILL, f"{point} of {WRITES[number].__name__}"
                assert place.rows() == stored[whole]
                _told_is_stored(said, stored[whole])
                await _goes_on(place, stored[whole])
                place.path.unlink()


def _told_is_stored(said: Path, rows: faults_rows.Rows) -> None:
    revisions = {row[0]: row[14] for row in rows["job"]}
    for line in said.read_text().splitlines():
        job_id, revision, _ = line.split()
        assert revisions.get(job_id, 99) >= int(revision), f"{line} was told and is not stored"


async def _goes_on(place: Place, rows: faults_rows.Rows) -> None:
    """The next store settles what was held; a submit whose answer never came is one job, whether it
    was stored or not.
    """
    made = {row[1]: row[2] for row in rows["request"]}.get("r-a")
    there = {row[0] for row in rows["job"]}
    async with place.life() as life:
        for name in ("a", "again"):
            [answer] = await life.batch(life.submit(name, request_id="r-a"))
            if made in (None, *there):
                assert answer.job.job.job_id == (made or "a")
                assert answer.existing == (made is not None or name == "again")
            else:
                assert isinstance(answer, JobNotFound)  # It was deleted; its request_id makes no other.
        held = sum(row[13] in (3, 4) for row in rows["job"])
        assert await life.batch(life.store.recover(LOST, confirmed=True)) == [held]
        place.rows()
