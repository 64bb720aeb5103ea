"""The group commit: one thread, one connection, one transaction for whatever is waiting.

    event loop        put(work) ─┐ put(work) ─┐  put(work) ─┐              ┌─> on_commit(changes)
                                 ▼            ▼             ▼              │   then each caller's answer
    queue             ───────────█────────────█─────────────█────          │
    writer thread          ┌── batch 1 ──┐┌───────── batch 2 ─────────┐    │
                           BEGIN … COMMIT BEGIN IMMEDIATE              │    │
                                          load   every row that is named and not known (see held_jobs), in one SELECT
                                          fold   each piece of work in turn, by the domain's decisions
                                          flush  one UPDATE for each job, all events, what is
                                          derived
                                          COMMIT ──────────────────────────┘  one call into the loop

A commit costs the same for one change as for a hundred, and nearly all of it is waiting for the
disk. So whatever came while the last commit ran is the next batch: no artificial delay, an idle
store answers at once, a busy one shares its commits.

What is promised, and how it is kept:

- **Nothing is told before COMMIT.** Answers and changes leave the thread in one call, after it.
- **Each piece of work has its own outcome.** A refusal (ControlError, StaleClaim) is raised while
  deciding, before anything of that work was folded; the others go on.
- **All or nothing.** What a batch holds is true together; what fails on the database is rolled back
  whole. An error of the data (a text that is no UTF-8, a number beyond 64 bits) would take the
  batch with it, so the batch is then halved and each half tried again, until the poisoned piece
  stands alone and fails alone.
- **The database's own trouble is nobody's fault.** Locked, full, damaged, gone: all work of the
  batch is answered with StoreUnavailable and nothing of it is stored. A COMMIT that fails is such a
  case: SQLite has taken it back.
- **A COMMIT whose answer was lost is settled** before anything else is done, by the batch's marker
  (see batch_marker), on a database that others share. Work that comes meanwhile is answered with
  StoreUnavailable.
- **Others are waited for.** A batch that another's transaction was in the way of is carried out
  again, for some seconds.
- **What is put together stays together.** `together` makes one entry of the queue of several pieces
  of work: a submit, and the claim that is to find it (see claim.claimer).
- **In the order of arrival**, except that claims come after all else: a stop that came in the same
  moment as a claim wins. On a shared database claims have a writer of their own: they must not wait
  for a fat batch. There a job that a stop holds is not claimed, and what both writers commit is
  told in its order (see commit_order).
- **Every event has a place, (writer, seq).** The number of the writer is this opening of the store,
  seq counts its events; it moves on only with a COMMIT.
- **The thread never dies.** close() lets it write what is queued and ends it.
"""

import asyncio
import logging
import threading
import time
from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, groupby
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from headrace_server.domain.change import Change
from headrace_server.domain.errors import ControlError, StaleClaim, StoreUnavailable
from headrace_server.domain.outage import Outage
from headrace_server.store.sql import Dialect
from headrace_server.store.sql.transaction import transaction
from headrace_server.store.write.batch_marker import Marker
from headrace_server.store.write.commit_order import CommitOrder
from headrace_server.store.write.held_jobs import HeldJobs
from headrace_server.store.write.operations import Phase, WriteOperation
from headrace_server.store.write.unit_of_work import Beside, UnitOfWork
from headrace_server.store.write.waiting_count import WaitingCount

logger = logging.getLogger(__name__)

BATCH_MAX: Final = 500
"""Pieces of work in a batch: bounds what the first of them waits for the last."""

PATIENCE_SECONDS: Final = 5.0
"""The seconds for which a batch is carried out again while others are in its way.

It is as long as SQLite waits for its one lock.
"""

IDLE_SECONDS: Final = 1.0
"""After so long without a write the log is written back."""

Answer = TypeVar("Answer")
Changes = Sequence[Change]
_Asked = tuple[WriteOperation[Any], "Future[Any]"]


class Read(Protocol):
    """Asks a question in a transaction of its own, beside the writers."""

    def __call__(self, question: Callable[[Connection], Answer]) -> Awaitable[Answer]:
        """The answer. Raises StoreUnavailable."""
        ...


class Writer:
    """The thread that writes. Everything public is called on the event loop's thread."""

    def __init__(
        self,
        engine: Engine,
        loop: AbstractEventLoop,
        *,
        database: Dialect,
        number: int,
        waiting: WaitingCount,
        order: CommitOrder,
        announcer: Beside | None,
        clock: Callable[[], int],
        on_commit: Callable[[Changes], None],
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._database = database
        self._number = number
        self._seq = 0
        self._marker = Marker(number) if database.shared else None
        self._waiting = waiting
        self._order = order
        self._announcer = announcer
        self._written_at: float | None = time.monotonic()
        """The time of a write that may still be in the log.

        It is None once that was written back.
        """
        self._held = HeldJobs()
        self._clock = clock
        self._on_commit = on_commit
        self._queue: SimpleQueue[list[_Asked] | None] = SimpleQueue()
        self._group: list[_Asked] | None = None
        """The work that is being put together."""
        self.fails = False
        """Whether the latest batch has met trouble of the database."""
        self._outage = Outage(logger, "The store cannot write", "The store writes again")
        self._doubt = Outage(logger, "A COMMIT got no answer")
        self._began: float | None = None
        """When the thread began to write the batch that it has in hand; monotonic."""
        self._closed = False
        self._ended: Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError where no thread is to be had."""
        self._thread.start()

    def abandon(self) -> None:
        """End the thread, if it has begun: it was given nothing."""
        self._closed = True
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def put(self, work: WriteOperation[Answer]) -> "Future[Answer]":
        """Have this done with the next batch; the future is its answer."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        answer: Future[Answer] = self._loop.create_future()
        if self._group is not None:
            self._group.append((work, answer))
        else:
            self._queue.put([(work, answer)])
        return answer

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have what is put in this block, which awaits nothing, done in one transaction if it can be."""
        group: list[_Asked] = []
        self._group = group
        try:
            yield
        finally:
            self._group = None
            if group:
                self._queue.put(group)

    def busy(self) -> float:
        """Return for how many seconds the thread has had its present batch; 0 without one."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    async def try_put(self, asked: WriteOperation[Answer]) -> list[Answer]:
        """Return the answer of an operation that is to keep no other waiting.

        There is none where it could not be written, and the writer has logged why: an operation on
        many jobs is then to be tried job by job. Raises ControlError.
        """
        try:
            return [await self.put(asked)]
        except ControlError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the others are not to wait
            return []

    async def close(self) -> None:
        """Write what is queued, answer it, and end the thread.

        What is put after this is refused.
        """
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    # The thread

    def _run(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=self._until_idle())
            except Empty:
                self._write_back()
                continue
            batch, last = self._gather(first)
            if batch:
                # The order of phases is settled before a batch may be halved.
                batch.sort(key=_phase)
                self._commit(batch)
            if last:
                break
        self._tell(self._ended.set_result, None)

    def _until_idle(self) -> float | None:
        """Return the seconds until the log should be written back, or None when it is.

        Work that wrote nothing does not postpone it.
        """
        if self._written_at is None:
            return None
        return max(0.0, self._written_at + IDLE_SECONDS - time.monotonic())

    def _gather(self, first: list[_Asked] | None) -> tuple[list[_Asked], bool]:
        """Return the work that is waiting, and whether it is the last."""
        batch: list[_Asked] = []
        asked = first
        try:
            while asked is not None:
                batch += asked
                if len(batch) >= BATCH_MAX:
                    return batch, False
                asked = self._queue.get_nowait()
        except Empty:
            return batch, False
        return batch, True

    def _commit(self, batch: list[_Asked]) -> None:
        """Make a batch true, all of it or, piece by piece, what can be; then tell."""
        try:
            self._write(batch)
            self.fails = False
        except StoreUnavailable as unknown:
            self._tell(_answer, batch, [unknown for _ in batch])
        except BaseException as error:  # the thread outlives everything
            if reason := self._database.unavailable_reason(error):
                self._outage.met(reason)
                self._refuse(batch, reason)
            elif len(batch) > 1:
                middle = len(batch) // 2
                self._commit(batch[:middle])
                self._commit(batch[middle:])
            else:
                about = {"job_id": getattr(batch[0][0], "job_id", None)}
                logger.exception("A write failed and was left out", extra=about)
                self._tell(_answer, batch, [error])

    def _write(self, batch: list[_Asked]) -> None:
        """Make a batch true as a whole; carry it out again while others are in its way."""
        self._began = time.monotonic()
        until = self._began + PATIENCE_SECONDS
        while True:
            try:
                if self._write_once(batch):
                    return
            except Exception as error:
                if self._database.reads_on(error):
                    continue
                if not self._database.is_conflict(error) or time.monotonic() > until:
                    raise
                logger.info("Another was in the way of a batch: %s", error, extra={"work": len(batch)})

    def _write_once(self, batch: list[_Asked]) -> bool:
        """Commit a batch as a whole and report it.

        Return False when its COMMIT turned out not to have been carried out.
        """
        with transaction(self._engine) as connection:
            if self._marker is not None and not self._marker.place(connection):
                raise AssertionError(f"another store writes with the number {self._number}")
            waiting = self._waiting.now
            unit = UnitOfWork(
                connection,
                number=self._number,
                seq=self._seq,
                now=self._clock(),
                waiting=waiting,
                announcer=self._announcer,
                known=self._held.since(self._database.state(connection)),
            )
            outcomes = [
                outcome
                for _, phase in groupby(batch, key=_phase)
                for outcome in _apply([work for work, _ in phase], unit)
            ]
            if self._marker is not None:
                if not unit.wrote:  # it has only asked: no marker, and nothing to wait for the disk for
                    connection.rollback()
                    self._tell(self._deliver, [], batch, outcomes)
                    return True
                self._marker.tidy(connection)
            with self._order.commit() as tell_after_others:
                self._held.committing(unit.changes)
                if not self._committed(connection):
                    return False
                self._seq = unit.seq
                self._held.committed(unit.changes.values())
                if unit.wrote:
                    self._outage.over()
                    self._written_at = time.monotonic()
                self._waiting.add(unit.waiting - waiting)
                tell_after_others()
                self._tell(self._deliver, list(unit.changes.values()), batch, outcomes)
        return True

    def _committed(self, connection: Connection) -> bool:
        """COMMIT; return False when it turned out not to have been carried out."""
        try:
            connection.commit()
        except Exception as error:
            if self._marker is None:
                raise
            connection.invalidate()
            connection.close()
            if not self._settled(self._marker, error):
                return False
        if self._marker is not None:
            self._marker.committed()
        return True

    def _settled(self, marker: Marker, error: Exception) -> bool:
        """Return whether a batch was committed whose COMMIT got no answer.

        The database is asked until there is an answer, or the store closes.
        """
        pause = 0.05
        while True:
            self._doubt.met(error)
            try:
                with transaction(self._engine) as connection:
                    return not marker.place(connection)
            except Exception as trouble:  # noqa: BLE001 whatever it is, the answer is not known
                error = trouble
            if self._closed:
                raise StoreUnavailable(
                    "The store is closed, and what became of the last writes is not known."
                )
            self._refuse_waiting(self._database.unavailable_reason(error) or str(error))
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _refuse(self, batch: list[_Asked], reason: str) -> None:
        self.fails = True
        sentence = f"The database cannot be written now: {reason}."
        self._tell(_answer, batch, [StoreUnavailable(sentence) for _ in batch])

    def _refuse_waiting(self, reason: str) -> None:
        """Answer what has come meanwhile: nobody has begun it."""
        refused: list[_Asked] = []
        last = False
        with suppress(Empty):
            while True:
                asked = self._queue.get_nowait()
                last |= asked is None
                if asked is not None:
                    refused += asked
        if last:
            self._queue.put(None)
        if refused:
            self._refuse(refused, reason)

    def _write_back(self) -> None:
        self._written_at = None
        try:
            if not self._database.write_back(self._engine):
                self._written_at = time.monotonic()  # A reader was in the way: a little later.
        except Exception as error:  # It grows until it can be; writes go on.
            if reason := self._database.unavailable_reason(error):
                self._outage.met(reason)
            else:
                logger.warning("The log could not be written back", exc_info=True)

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Have the event loop call this; when it has closed there is nobody left to tell.

        What was in hand is done.
        """
        self._began = None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _deliver(self, changes: Changes, batch: list[_Asked], outcomes: list[Any]) -> None:
        if changes:
            try:
                self._on_commit(changes)
            except Exception:
                logger.exception("A listener failed on committed changes")
        _answer(batch, outcomes)


def _phase(asked: _Asked) -> Phase:
    return asked[0].phase


def _apply(works: Sequence[WriteOperation[Any]], unit: UnitOfWork) -> Iterator[Any]:
    """Yield the outcomes of the work of one phase: answers, and refusals as exceptions.

    The unit of work is flushed at the end.
    """
    unit.load_requests(chain.from_iterable(work.request_keys() for work in works))
    named = chain.from_iterable(work.job_ids() for work in works)
    unit.load(chain(named, (job_id for job_id, _ in unit.requests.values())))
    for work in works:
        try:
            yield work.apply(unit)
        except (ControlError, StaleClaim) as refusal:
            yield refusal
    unit.flush()


def _answer(batch: list[_Asked], outcomes: Iterable[Any]) -> None:
    for (_, answer), outcome in zip(batch, outcomes, strict=True):
        if answer.done():  # Its caller has gone.
            continue
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
