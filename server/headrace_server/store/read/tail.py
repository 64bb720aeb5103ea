"""The tail: it reads from the log what other stores commit, as soon as it is there.

The other stores commit to the same database.

    store 1   commit (1, 7) ── hint ──┐
    store 2   commit (2, 3) ── hint ──┼──> store 3   writers 1 2 4 …      one query: of each writer what is behind its seq
    store 4   commit (4, 9) ── hint ──┘    cursor    6 3 9 …      ──>     (1, 7), told, and the cursor moves on

**A place is (writer, seq)**, and the cursor a vector, one seq for each writer. A single number for
all cannot work: what is numbered first may be committed last, and a reader that has moved on misses
it for ever. A writer's own commits come one after the other, so behind its seq nothing appears
late; and nobody waits for the slowest transaction of all.

**In order.** Events of one job may lie in the logs of several writers. They have an order, because
whoever writes one holds the job's row; a round of the tail may still meet the later before the
earlier, in another writer's log. Those who listen know the revision that they have reached, and
read the log of the job itself where there is a gap.

**Hints, not data.** After commits a store sends an empty NOTIFY: in no transaction with them,
because a transaction that notifies holds a lock of the whole server until its commit is on disk. A
hint may be lost; once a second the tail looks anyway. Many commits share one. Whoever has changed a
gate hints too, at what may be claimed now: nothing in the log tells of it.

One connection listens, notifies and reads.
"""

import logging
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import BigInteger, Connection, Engine, Integer, cast, func, select, true

from headrace_server.domain.event import Event
from headrace_server.domain.outage import Outage
from headrace_server.store.sql import Dialect, Hints, News
from headrace_server.store.sql.json_lists import pairs
from headrace_server.store.tables import rows
from headrace_server.store.tables.schema import job, job_event, writer
from headrace_server.store.tables.statement import Query

logger = logging.getLogger(__name__)

PAGE: Final = 500
"""Events of each writer in one query."""
POLL_SECONDS: Final = 1.0
"""Between two looks without a hint."""
PACE_SECONDS: Final = 0.005
"""Between two hints, and between two looks, of a busy store."""
_EVER: Final = 1 << 62

_seen = pairs("cursor")
_behind = (
    select(job_event)
    .where(
        job_event.c.writer == writer.c.writer,
        job_event.c.seq > func.coalesce(cast(_seen.c.second, BigInteger), 0),
    )
    .order_by(job_event.c.seq)
    .limit(PAGE)
    .lateral()
)
_next = Query(
    select(
        _behind.c.writer,
        _behind.c.seq,
        _behind.c.job_id,
        job.c.tenant,
        job.c.type,
        _behind.c.revision,
        _behind.c.at,
        _behind.c.attempt,
        _behind.c.status,
        _behind.c.kind,
        _behind.c.body,
    )
    .select_from(writer)
    .outerjoin(_seen, cast(_seen.c.first, Integer) == writer.c.writer)
    .join(_behind, true())
    .join(job, job.c.job_id == _behind.c.job_id)
    .order_by(_behind.c.writer, _behind.c.seq)
)
_last = (
    select(job_event.c.seq)
    .where(job_event.c.writer == writer.c.writer)
    .order_by(job_event.c.seq.desc())
    .limit(1)
)
_ends = Query(select(writer.c.writer, func.coalesce(_last.scalar_subquery(), 0)))


class Cursor:
    """How far the log of each writer has been read, but for one's own."""

    def __init__(self, own: Sequence[int]) -> None:
        self._seqs = dict.fromkeys(own, _EVER)

    def to_end(self, connection: Connection) -> None:
        """Begin here: those who ask later read the rows of their jobs first."""
        self._seqs = {**dict(_ends(connection)), **self._seqs}

    def read(self, connection: Connection) -> list[Event]:
        """Return the new events, at most a page of each writer."""
        events = []
        for number, seq, *row in _next(connection, cursor=rows.dumps([*self._seqs.items()])):
            self._seqs[number] = seq
            events.append(rows.event_of(row))
        return events


class Tail:
    """The thread that reads what other stores commit.

    `on_events` is called on the event loop's thread, and the next page is read after that.

    on_open is called there too, when another store has changed a gate.
    """

    def __init__(
        self,
        engine: Engine,
        loop: AbstractEventLoop,
        *,
        database: Dialect,
        hints: Hints,
        own: Sequence[int],
        on_events: Callable[[Sequence[Event]], None],
        on_open: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._on_events = on_events
        self._on_open = on_open
        self._cursor = Cursor(own)
        self._database = database
        self._hints = hints
        self._committed = False
        self._opened = False
        self._end = threading.Event()
        self._outage = Outage(logger, "The log cannot be followed, trying again", "The log is followed again")
        self._thread = threading.Thread(target=self._run, name="store-tail", daemon=True)

    def start(self) -> None:
        """Begin at the end of the log as it is now. Raises what the database raises."""
        with self._engine.connect() as connection:
            self._cursor.to_end(connection)
        self._thread.start()

    def hint(self) -> None:
        """This store has committed something: let the others know. From any thread."""
        self._committed = True
        self._hints.wake()

    def opened(self) -> None:
        """This store has changed a gate: let the others know. From any thread."""
        self._opened = True
        self._hints.wake()

    def stop(self) -> None:
        """Read no more."""
        self._end.set()
        self._hints.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._hints.close()

    def _run(self) -> None:
        pause = 0.05
        while not self._end.is_set():
            try:
                with self._engine.connect() as connection:
                    self._hints.listen(connection)
                    self._outage.over()
                    pause = 0.05
                    self._follow(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, the log is still there
                said = self._database.unavailable_reason(error) or repr(error)
                self._outage.met(said)
                self._end.wait(pause)
                pause = min(1.0, pause * 2)

    def _follow(self, connection: Connection) -> None:
        looked = 0.0
        look = True
        while not self._end.is_set():
            if look:
                looked = time.monotonic()
                while events := self._cursor.read(connection):
                    self._tell(events)
            self._send(connection)
            time.sleep(PACE_SECONDS)
            heard = self._hints.wait(connection, max(0.0, looked + POLL_SECONDS - time.monotonic()))
            if heard.gates:
                with suppress(RuntimeError):  # the loop has closed
                    self._loop.call_soon_threadsafe(self._on_open)
            look = heard.log or time.monotonic() - looked >= POLL_SECONDS

    def _send(self, connection: Connection) -> None:
        news = News(log=self._committed, gates=self._opened)
        # What is committed from here on has a hint of its own; at worst one too many is sent.
        if news.log:
            self._committed = False
        if news.gates:
            self._opened = False
        self._hints.send(connection, news)

    def _tell(self, events: Sequence[Event]) -> None:
        told = threading.Event()

        def tell() -> None:
            try:
                self._on_events(events)
            except Exception:
                logger.exception("A listener failed on events of other instances")
            finally:
                told.set()

        with suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(tell)
            while not told.wait(0.5) and not self._end.is_set():
                pass
