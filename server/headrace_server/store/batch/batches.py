"""Batches: many jobs that come to exist together, without anybody waiting for all of them.

A transaction that creates 10,000 jobs takes most of a second, and every other write would wait for
it. So a batch is written in pieces, and one small transaction decides:

    staged      Stage, Stage, …    the jobs as texts, in tables that nothing else reads
    decided     Decide             the head is marked, the request_id is known, the first jobs exist
    brought in  BringIn, BringIn   a piece each: its text goes, its jobs come, with their events
    answered

- **All or nothing.** Before Decide there is no job: what was staged by an instance that has died is
  removed (`finish`). After it nothing can be refused any more, and whoever comes next brings in what
  is left: this call, a repeated one, this server at its next start, another one that takes over.
- **Nothing is hidden in the tables of jobs.** A mark on each job, or a join that looks for a mark,
  would cost every list, count and claim for ever; and to make 10,000 jobs visible, their rows in
  `ready` and in the outbox have to be written anyway, which no small transaction can. So a job of a
  large batch exists from its own piece on, in order. A batch of one piece is one transaction.
- **Nobody waits for more than a piece.** One piece of all batches is in the writer's hands at a
  time, and whatever else came meanwhile is written with it or after it. Listeners, the log and the
  outbox get a piece at a time too.
- **Whoever waits is counted.** Jobs that are decided count as waiting from then on.

Jobs of one batch have the time of its decision, and ids that ascend.
"""

import asyncio
import logging
from asyncio import Lock, Task
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import select

from headrace_server.domain.errors import ControlError, StoreUnavailable
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.jobs import BatchSubmission, Submission, SubmittedBatch
from headrace_server.store.batch.operations import LEFT_BEHIND, BringIn, Decide, Remove, Stage
from headrace_server.store.batch.pieces import Piece, StagedLater, cut, stage
from headrace_server.store.tables.schema import staged_batch
from headrace_server.store.tables.statement import Query
from headrace_server.store.write.operations import WriteOperation
from headrace_server.store.write.writer import Read, Writer

log = logging.getLogger(__name__)

STAGE_CHARS: Final = 512 * 1024
"""Characters of texts that one transaction stages."""
PAUSE: Final = 1.0
"""Seconds before a batch that was decided is tried again."""

_decided = Query(
    select(staged_batch.c.batch_id)
    .where(staged_batch.c.decide_time.is_not(None), LEFT_BEHIND)
    .order_by(staged_batch.c.batch_id)
)

Answer = TypeVar("Answer")


class Batches:
    """The batches that one store writes. me: the id of this instance. most: how many jobs may wait."""

    def __init__(self, writer: Writer, read: Read, *, me: Callable[[], str], most: int) -> None:
        self._writer = writer
        self._read = read
        self._me = me
        self._most = most
        self._turn = Lock()
        self._tasks: set[Task[Any]] = set()
        self._retries: set[Task[Any]] = set()
        self._outage = Outage(log, "a batch is not whole yet, trying again", "batches are completed again")

    async def submit(self, batch: BatchSubmission) -> SubmittedBatch:
        """Create the jobs of a batch. It goes on where its caller is cancelled."""
        return await asyncio.shield(_spawn(self._tasks, self._submit(batch)))

    async def _submit(self, batch: BatchSubmission) -> SubmittedBatch:
        first, *others = cut(batch.jobs)
        try:
            made = await self._stage(batch, others)
            if made is None:
                made = await self._put(Decide(batch, first, len(others), self._most))
        except Exception:
            await self._removed(batch, others)
            raise
        if made.existing:
            await self._removed(batch, others)
        if others or made.existing:
            await self._bring_in(made.batch_id)
        return made

    async def _stage(
        self, batch: BatchSubmission, pieces: Sequence[Sequence[Submission]]
    ) -> SubmittedBatch | None:
        """Stage pieces. The answer is the batch that its request_id has made, if there is one."""
        staged: list[Piece] = []
        first = True
        for number, jobs in enumerate(pieces, 1):
            staged.append(stage(number, jobs))
            if number == len(pieces) or sum(len(one.body) for one in staged) >= STAGE_CHARS:
                made = await self._put(Stage(batch, self._me(), staged, self._most, first))
                if made is not None:
                    return made
                staged, first = [], False
            else:
                await asyncio.sleep(0)
        return None

    async def _removed(self, batch: BatchSubmission, others: Sequence[object]) -> None:
        """Remove what was staged; where the database is away, the next start does."""
        if others:
            try:
                await self._put(Remove(batch.batch_id))
            except Exception as error:  # noqa: BLE001 - the caller is told of the first error
                log.warning("what was staged of batch %s was not removed: %s", batch.batch_id, error)

    async def _bring_in(self, batch_id: str) -> None:
        """Bring in what is left of a batch that was decided.

        Where the database is away its caller is told so, and it is tried again without him.
        """
        try:
            await self._bring_in_once(batch_id)
        except StagedLater:
            raise
        except StoreUnavailable:
            _spawn(self._retries, self._keep_on(batch_id))
            raise

    async def _bring_in_once(self, batch_id: str) -> None:
        while await self._put(BringIn(batch_id)):
            pass

    async def _keep_on(self, batch_id: str) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self._bring_in_once(batch_id)
            except StoreUnavailable as error:
                self._outage.met(error, batch_id=batch_id)
            else:
                self._outage.over()
                return

    async def finish(self) -> int:
        """Complete the batches that the dead have decided, and remove what they staged of others.

        Return how many batches these were. Raises StoreUnavailable.
        """
        count = await self._put(Remove())
        for (batch_id,) in await self._read(_decided):
            try:
                await self._bring_in_once(batch_id)
                count += 1
            except StagedLater as error:
                log.warning("a batch is not whole yet: %s", error)
            except ControlError:
                raise
            except Exception:  # the others are not to wait for it
                log.exception("a batch could not be completed", extra={"batch_id": batch_id})
        return count

    async def close(self) -> None:
        """Let what was begun come to its end."""
        for task in self._retries:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._retries, return_exceptions=True)

    async def _put(self, work: WriteOperation[Answer]) -> Answer:
        async with self._turn:
            return await self._writer.put(work)


def _spawn(tasks: set[Task[Any]], work: Coroutine[Any, Any, Answer]) -> "Task[Answer]":
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(lambda done: _forget(tasks, done))
    return task


def _forget(tasks: set[Task[Any]], done: Task[Any]) -> None:
    tasks.discard(done)
    if not done.cancelled():
        done.exception()  # its caller may have gone
