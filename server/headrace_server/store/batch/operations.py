"""What the writer does for a batch; batches.py says in which order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, exists, func, select, update

from headrace_server.domain import requests
from headrace_server.domain.errors import RequestIdReused, StoreUnavailable
from headrace_server.domain.ports.jobs import BatchSubmission, Submission, SubmittedBatch
from headrace_server.domain.retention import REQUEST_MEMORY
from headrace_server.store.batch.pieces import Piece, read
from headrace_server.store.cluster.instances import DEAD
from headrace_server.store.tables.schema import instance, request, staged_batch, staged_piece
from headrace_server.store.tables.statement import Bulk, Query, delete_by, insert_into
from headrace_server.store.write.operations import Phase, WriteOperation, check_room
from headrace_server.store.write.unit_of_work import UnitOfWork

LEFT_BEHIND: Final = ~exists().where(instance.c.instance == staged_batch.c.instance, ~DEAD)
"""A condition: of a batch whose instance does not live."""

_head = Query(
    select(staged_batch.c.tenant, staged_batch.c.decide_time)
    .where(staged_batch.c.batch_id == bindparam("batch_id"))
    .with_for_update()
)
_pieces = Query(
    select(func.count(), func.coalesce(func.sum(staged_piece.c.jobs), 0)).where(
        staged_piece.c.batch_id == bindparam("batch_id")
    )
)
_next_pieces = Query(
    select(staged_piece.c.piece, staged_piece.c.jobs, staged_piece.c.body)
    .where(staged_piece.c.batch_id == bindparam("batch_id"))
    .order_by(staged_piece.c.piece)
    .limit(1)
)
_abandoned = Query(
    select(staged_batch.c.batch_id)
    .where(staged_batch.c.decide_time.is_(None), LEFT_BEHIND)
    .order_by(staged_batch.c.batch_id)
    .with_for_update(skip_locked=True)
)
_insert_head = insert_into(staged_batch)
_insert_pieces = insert_into(staged_piece)
_insert_request = insert_into(request)
_decide = Bulk(
    update(staged_batch)
    .values(decide_time=bindparam("now"))
    .where(staged_batch.c.batch_id == bindparam("key")),
    ("now", "key"),
)
_delete_piece = delete_by(staged_piece, ["batch_id", "piece"])
_delete_pieces = delete_by(staged_piece, ["batch_id"])
_delete_head = delete_by(staged_batch, ["batch_id"])

REMOVED: Final = (
    "The jobs of this batch were removed before it was decided, since this server was taken for dead"
)


def _existing(unit: UnitOfWork, batch: BatchSubmission) -> SubmittedBatch | None:
    made = unit.requests.get((batch.tenant, batch.request_id))
    if made is None:
        return None
    if made[1] != batch.digest:
        raise RequestIdReused(batch.request_id, made[0])
    return SubmittedBatch(made[0], existing=True)


def _key(batch: BatchSubmission) -> Iterable[tuple[str, str]]:
    return [(batch.tenant, batch.request_id)] if batch.request_id else ()


@dataclass(frozen=True, slots=True)
class Stage(WriteOperation[SubmittedBatch | None]):
    """Keep pieces of a batch that is not decided."""

    phase = Phase.FOLD
    batch: BatchSubmission
    me: str
    pieces: Sequence[Piece]
    most: int
    """How many jobs may wait."""
    first: bool

    def request_keys(self) -> Iterable[tuple[str, str]]:
        """Its own, if it has one."""
        return _key(self.batch) if self.first else ()

    def apply(self, unit: UnitOfWork) -> SubmittedBatch | None:
        """Return the batch that its request_id has made, if there is one; then nothing is kept.

        Raises RequestIdReused, QueueFull, StoreUnavailable once another instance has removed it.
        """
        batch = self.batch
        if self.first:
            if found := _existing(unit, batch):
                return found
            check_room(unit, self.most, len(batch.jobs))
            _insert_head(unit.connection, [(batch.batch_id, batch.tenant, self.me, None)])
        elif not _head(unit.connection, batch_id=batch.batch_id):
            raise StoreUnavailable(f"{REMOVED}: try again.")
        unit.wrote = True
        _insert_pieces(
            unit.connection, [(batch.batch_id, one.number, one.jobs, one.body) for one in self.pieces]
        )
        return None


@dataclass(frozen=True, slots=True)
class Decide(WriteOperation[SubmittedBatch]):
    """Have a batch exist: this transaction is the moment.

    It brings in the first jobs at once. staged: how many pieces hold the others.
    """

    phase = Phase.FOLD
    batch: BatchSubmission
    first: Sequence[Submission]
    staged: int
    most: int

    def request_keys(self) -> Iterable[tuple[str, str]]:
        """Its own, if it has one."""
        return _key(self.batch)

    def apply(self, unit: UnitOfWork) -> SubmittedBatch:
        """Return the batch, or that which its request_id has made; then nothing is decided.

        Raises RequestIdReused, QueueFull, StoreUnavailable once another instance has removed what
        was staged.
        """
        batch = self.batch
        if found := _existing(unit, batch):
            return found
        check_room(unit, self.most, len(batch.jobs))
        if self.staged:
            self._decide(unit)
        if batch.request_id:
            made = (batch.batch_id, batch.digest)
            forget_at = unit.now + REQUEST_MEMORY
            _insert_request(unit.connection, [(batch.tenant, batch.request_id, *made, unit.now, forget_at)])
            unit.requests[batch.tenant, batch.request_id] = made
        create(unit, self.first, unit.now)
        return SubmittedBatch(batch.batch_id, existing=False)

    def _decide(self, unit: UnitOfWork) -> None:
        batch_id = self.batch.batch_id
        there = _head(unit.connection, batch_id=batch_id)
        ((pieces, jobs),) = _pieces(unit.connection, batch_id=batch_id)
        if not there or pieces != self.staged:
            raise StoreUnavailable(f"{REMOVED}: try again.")
        _decide(unit.connection, [(unit.now, batch_id)])
        unit.waiting += int(jobs)


def create(unit: UnitOfWork, jobs: Iterable[Submission], at: int) -> None:
    """Bring jobs in that were submitted at a time."""
    for one in jobs:
        change = requests.create(one.job_id, one.tenant, one.spec, at, hold=one.hold, batch_id=one.batch_id)
        unit.submit(one, change)


@dataclass(frozen=True, slots=True)
class BringIn(WriteOperation[bool]):
    """Bring in the next piece of a batch that was decided.

    Whoever does it holds the row of the batch, so each piece is brought in once.
    """

    phase = Phase.FOLD
    batch_id: str

    def apply(self, unit: UnitOfWork) -> bool:
        """Return whether there is more. Raises StagedLater."""
        connection = unit.connection
        head = _head(connection, batch_id=self.batch_id)
        if not head or head[0][1] is None:
            return False
        ((tenant, at),) = head
        found = _next_pieces(connection, batch_id=self.batch_id)
        for number, count, body in found:
            jobs = read(body, self.batch_id, tenant)
            unit.wrote = True
            _delete_piece(connection, [(self.batch_id, number)])
            unit.waiting -= count  # they were counted when it was decided
            create(unit, jobs, at)
        if _next_pieces(connection, batch_id=self.batch_id):
            return True
        unit.wrote = True
        _delete_head(connection, [(self.batch_id,)])
        return False


@dataclass(frozen=True, slots=True)
class Remove(WriteOperation[int]):
    """Remove what was staged of batches that will not be decided: this one, or those of the dead."""

    phase = Phase.SWEEP
    batch_id: str = ""

    def apply(self, unit: UnitOfWork) -> int:
        """Return how many batches they were."""
        connection = unit.connection
        if self.batch_id:
            head = _head(connection, batch_id=self.batch_id)
            gone = [(self.batch_id,)] if head and head[0][1] is None else []
        else:
            gone = [(batch_id,) for (batch_id,) in _abandoned(connection)]
        if gone:
            unit.wrote = True
            _delete_pieces(connection, gone)
            _delete_head(connection, gone)
        return len(gone)
