"""Batches: all of their jobs or none, in order, with one request_id, and nobody waits for the whole."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from contract.operations import Clock, claim, found, page, submission, submit
from contract.tables import connected
from sqlalchemy import func, select, text

from headrace_server.domain import batch as ids
from headrace_server.domain.change import Change
from headrace_server.domain.errors import QueueFull, RequestIdReused, StoreUnavailable
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import Status
from headrace_server.domain.ports.cluster import Instance
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.ports.jobs import BatchSubmission, SubmittedBatch
from headrace_server.store import SqlStore
from headrace_server.store.batch import pieces
from headrace_server.store.batch.operations import BringIn, Decide, Stage
from headrace_server.store.tables import schema
from headrace_server.store.write.operations import WriteOperation

PIECE = 4


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few jobs."""
    monkeypatch.setattr(pieces, "PIECE_JOBS", PIECE)


def batch(
    count: int,
    *,
    number: int = 1,
    request_id: str = "",
    digest: str = "as sent",
    hold: bool = False,
    **spec: object,
) -> BatchSubmission:
    """So many jobs."""
    batch_id = ids.batch_id(f"batch-{number:06d}-ffff")
    jobs = [
        replace(
            submission(hold=hold, parameters=f'{{"n":{place}}}', priority=place, **spec),
            job_id=job_id,
            digest="",
            batch_id=batch_id,
        )
        for place, job_id in enumerate(ids.job_ids(batch_id, count))
    ]
    return BatchSubmission(batch_id, "default", request_id, digest, jobs)


def job_ids(asked: BatchSubmission) -> list[str]:
    """Its jobs in order."""
    return [job.job_id for job in asked.jobs]


def staged(url: str) -> int:
    """How many pieces and batches are staged."""
    with connected(url) as connection:
        tables = (schema.staged_piece, schema.staged_batch)
        return sum(connection.scalar(select(func.count()).select_from(one)) or 0 for one in tables)


async def comes(store: SqlStore, asked: BatchSubmission) -> None:
    """Wait until all of its jobs are there."""
    async with asyncio.timeout(30):
        while await found(store, page()) != job_ids(asked):  # noqa: ASYNC110 - rows have no event
            await asyncio.sleep(0.005)


class Stops(Exception):
    """The server ends here."""


def stops_at(monkeypatch: pytest.MonkeyPatch, kind: type[WriteOperation[object]], after: int = 0) -> None:
    """Have the operation of this kind fail after so many, as where the process has gone."""
    done = 0
    apply = kind.apply

    def counted(self: WriteOperation[object], unit: object) -> object:
        nonlocal done
        if done == after:
            raise Stops
        done += 1
        return apply(self, unit)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(kind, "apply", counted)


@pytest.mark.parametrize("count", [1, PIECE, PIECE + 1, 3 * PIECE])
async def test_the_jobs_of_a_batch_are_stored_in_order(store: SqlStore, url: str, count: int) -> None:
    """Each has its spec, its parameters, its one event and the batch; nothing is left staged
    (acceptance 3).
    """
    asked = batch(count, labels={"a": 'b"ü'}, description="one of many")
    assert await store.submit_batch(asked) == SubmittedBatch(asked.batch_id, existing=False)
    assert await found(store, page(batch_ids=(asked.batch_id,))) == job_ids(asked)
    for given in asked.jobs:
        full = await store.get(given.job_id, tenant="default", payload=True)
        assert (full.job.status, full.job.batch_id) == (Status.QUEUED, asked.batch_id)
        assert (full.job.priority, full.job.labels) == (given.spec.priority, {"a": 'b"ü'})
        assert full.payload is not None
        assert full.payload.parameters == given.parameters
        assert [event.revision for event in await store.events(given.job_id, after=0, limit=9)] == [1]
    assert (staged(url), store.waiting) == (0, count)


async def test_a_held_batch_is_pending(store: SqlStore) -> None:
    """In each of its pieces, and none is claimed."""
    asked = batch(PIECE + 1, hold=True)
    await store.submit_batch(asked)
    assert await found(store, page(statuses=(Status.PENDING,))) == job_ids(asked)
    assert await claim(store, 1) == []


async def test_jobs_of_a_batch_start_in_its_order(store: SqlStore) -> None:
    """Those of equal priority are claimed as they were given."""
    asked = batch(2 * PIECE + 1)
    asked = replace(asked, jobs=[replace(one, spec=replace(one.spec, priority=0)) for one in asked.jobs])
    await store.submit_batch(asked)
    claimed = await claim(store, len(asked.jobs))
    assert [taken.job.job_id for taken in claimed] == job_ids(asked)


@pytest.mark.parametrize("count", [PIECE, 2 * PIECE])
async def test_a_repeated_batch_is_the_same(store: SqlStore, url: str, count: int) -> None:
    """One request_id is one batch; with other jobs it is refused, and so it is for a single job
    (acceptance 3, 6, failure case 22).
    """
    asked = batch(count, request_id="r")
    await store.submit_batch(asked)
    again = batch(count, number=2, request_id="r")
    assert await store.submit_batch(again) == SubmittedBatch(asked.batch_id, existing=True)
    with pytest.raises(RequestIdReused, match=asked.batch_id):
        await store.submit_batch(batch(count, number=3, request_id="r", digest="other"))
    with pytest.raises(RequestIdReused):
        await store.submit(submission(request_id="r", digest="another"))
    await store.submit(submission(request_id="s"))
    with pytest.raises(RequestIdReused):
        await store.submit_batch(batch(count, number=4, request_id="s", digest="other"))
    assert len(await found(store, page())) == count + 1
    assert staged(url) == 0


async def test_two_calls_at_once_are_one_batch(store: SqlStore, url: str) -> None:
    """Both stage; one decides, and both are told its id when all of its jobs are there."""
    made = await asyncio.gather(
        *(store.submit_batch(batch(3 * PIECE, number=number, request_id="r")) for number in (1, 2))
    )
    assert sorted(one.existing for one in made) == [False, True]
    assert len({one.batch_id for one in made}) == 1
    assert len(await found(store, page())) == 3 * PIECE
    assert staged(url) == 0


@pytest.mark.parametrize("count", [PIECE, 2 * PIECE])
async def test_a_batch_that_does_not_fit_is_refused_whole(url: str, clock: Clock, count: int) -> None:
    """The limit of waiting jobs counts all of it, and nothing of it is stored."""
    store = SqlStore.open(url, durable=False, clock=clock, max_waiting=count)
    await submit(store)
    with pytest.raises(QueueFull, match=f"at most {count} may, and these are {count}"):
        await store.submit_batch(batch(count))
    assert (store.waiting, len(await found(store, page())), staged(url)) == (1, 1, 0)
    await store.close()


async def test_what_is_decided_counts_as_waiting(
    store: SqlStore, url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its jobs are brought in, and by a store that is opened meanwhile."""
    with monkeypatch.context() as planted:
        stops_at(planted, BringIn, after=1)
        with pytest.raises(Stops):
            await store.submit_batch(batch(4 * PIECE))
    assert len(await found(store, page())) == 2 * PIECE
    assert store.waiting == 4 * PIECE
    other = SqlStore.open(url, durable=False, clock=clock)
    assert other.waiting == 4 * PIECE
    assert await other.finish_batches() == 1
    assert other.waiting == len(await found(other, page())) == 4 * PIECE
    await other.close()


@pytest.mark.parametrize("kind", [Stage, Decide])
async def test_before_it_is_decided_there_is_no_job(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch, kind: type[WriteOperation[object]]
) -> None:
    """What a server that ends there has staged is seen by nobody, and removed by the next."""
    asked = batch(3 * PIECE, request_id="r")
    with monkeypatch.context() as planted:
        planted.setattr("headrace_server.store.batch.batches.STAGE_CHARS", 1)
        planted.setattr("headrace_server.store.batch.operations.Remove.apply", lambda *_: 0)
        stops_at(planted, kind, after=1 if kind is Stage else 0)
        with pytest.raises(Stops):
            await store.submit_batch(asked)
    assert staged(url) > 0
    assert (await found(store, page()), await claim(store), store.waiting) == ([], [], 0)
    assert await store.finish_batches() == 1
    assert staged(url) == 0
    assert not (await store.submit_batch(asked)).existing
    assert await found(store, page()) == job_ids(asked)


@pytest.mark.parametrize("after", [0, 1])
async def test_after_it_is_decided_every_job_comes(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Where a server ends while it brings them in, the next one or a repeated call goes on."""
    asked = batch(4 * PIECE, request_id="r")
    with monkeypatch.context() as planted:
        stops_at(planted, BringIn, after=after)
        with pytest.raises(Stops):
            await store.submit_batch(asked)
    assert await found(store, page()) == job_ids(asked)[: (after + 1) * PIECE]
    if after:
        assert await store.finish_batches() == 1
    again = await store.submit_batch(batch(4 * PIECE, number=2, request_id="r"))
    assert again == SubmittedBatch(asked.batch_id, existing=True)
    assert await found(store, page()) == job_ids(asked)
    assert (store.waiting, staged(url)) == (4 * PIECE, 0)


async def test_a_database_that_is_away_is_waited_for(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller of a batch that was decided is told so, and its jobs come without him."""
    asked = batch(3 * PIECE)
    monkeypatch.setattr("headrace_server.store.batch.batches.PAUSE", 0)
    with monkeypatch.context() as planted:

        def away(*_: object) -> bool:
            raise StoreUnavailable("away")

        planted.setattr(BringIn, "apply", away)
        with pytest.raises(StoreUnavailable, match="away"):
            await store.submit_batch(asked)
    await comes(store, asked)


async def test_a_caller_that_leaves_changes_nothing(store: SqlStore) -> None:
    """A batch whose call is cancelled is stored whole all the same."""
    asked = batch(3 * PIECE)
    call = asyncio.create_task(store.submit_batch(asked))
    await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    await comes(store, asked)


async def test_what_a_live_instance_stages_is_left_alone(
    store: SqlStore, url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is dead; then its call is told to try again, and nothing of the batch is stored."""
    await store.join(Instance("here", clock(), {}), lease=None)
    swept: list[int] = []
    put = store._batches._put

    async def sweeps(work: WriteOperation[object]) -> object:
        if isinstance(work, Decide) and not swept:
            swept.append(await store.finish_batches())
            with connected(url) as connection:
                connection.execute(text("DELETE FROM instance"))
                connection.commit()
            swept.append(await store.finish_batches())
        return await put(work)

    monkeypatch.setattr(store._batches, "_put", sweeps)
    with pytest.raises(StoreUnavailable, match="taken for dead: try again"):
        await store.submit_batch(batch(2 * PIECE))
    assert swept == [0, 1]
    assert (await found(store, page()), staged(url)) == ([], 0)


async def test_each_job_of_a_batch_is_broadcast(url: str, clock: Clock) -> None:
    """Its event is in the outbox once, in the order of the batch, with its parameters."""
    kinds = (EventKind.CREATED,)
    store = SqlStore.open(url, durable=False, clock=clock, broadcast=kinds, payload_bytes=100)
    asked = batch(3 * PIECE)
    await store.submit_batch(asked)
    unsent = await store.unsent(after=0, parked=False, limit=100)
    assert [one.event.job_id for one in unsent.broadcasts] == job_ids(asked)
    assert [one.payload for one in unsent.broadcasts] == [job.parameters for job in asked.jobs]
    await store.close()


async def test_others_write_between_its_pieces(store: SqlStore) -> None:
    """A submit that comes while a batch is written waits for one piece of it at most."""
    order: list[str] = []

    class Listens(CommitListener):
        def committed(self, changes: Sequence[Change]) -> None:
            mine = [change for change in changes if change.job.batch_id]
            assert len(mine) <= PIECE
            order.extend("piece" if change.job.batch_id else "other" for change in changes)

    store.listeners.append(Listens())
    whole = asyncio.create_task(store.submit_batch(batch(25 * PIECE)))
    others = 0
    while not whole.done():
        before = order.count("piece")
        await submit(store)
        others += 1
        # One that was in the writer's hands when the submit came, and one that went with it.
        assert order.count("piece") - before <= 2 * PIECE
    assert (await whole).existing is False
    assert others > 5
    assert order.count("piece") == 25 * PIECE


async def test_later_columns_are_left_to_who_knows_them(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece that a later version has staged with one more column stays until that version comes."""
    asked = batch(2 * PIECE, request_id="r")
    with monkeypatch.context() as planted:
        stops_at(planted, BringIn)
        with pytest.raises(Stops):
            await store.submit_batch(asked)
    with connected(url) as connection:
        rename = "UPDATE staged_piece SET body = replace(body, '\"session_id\"', '\"later\"')"
        connection.execute(text(rename))
        connection.commit()
    assert await store.finish_batches() == 0
    with pytest.raises(StoreUnavailable, match="staged by a later version, with later"):
        await store.submit_batch(replace(asked, jobs=asked.jobs[:1]))
    assert await found(store, page()) == job_ids(asked)[:PIECE]
    assert staged(url) == 2


async def test_a_piece_of_an_earlier_version_gets_defaults(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that it does not have is as that of a spec that does not say it."""
    asked = batch(2 * PIECE, owner="ann")
    with monkeypatch.context() as planted:
        stops_at(planted, BringIn)
        planted.setattr(pieces, "_KEPT", ("job_id", "type"))
        planted.setattr(pieces, "_kept_row", lambda job: (job.job_id, job.type))
        with pytest.raises(Stops):
            await store.submit_batch(asked)
    assert await store.finish_batches() == 1
    last = await store.get(job_ids(asked)[-1], tenant="default", payload=False)
    assert (last.job.owner, last.job.queue, last.job.batch_id) == ("", "default", asked.batch_id)
    assert staged(url) == 0


def test_pieces_are_cut_by_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the characters of their parameters; a job that is larger stands alone."""
    monkeypatch.setattr(pieces, "PIECE_CHARS", 20)
    jobs = [submission(parameters="x" * size) for size in (8, 8, 8, 30, 2, 2)]
    cut = [[len(job.parameters) for job in piece] for piece in pieces.cut(jobs)]
    assert cut == [[8, 8], [8], [30], [2, 2]]
