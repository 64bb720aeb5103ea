"""A database that takes no writes for a while, as a full disk or a standby does: what a run has
said is kept, and written when it takes them again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from contract.operations import now, run, stop, submit
from contract.test_refused_ends import ended
from contract.test_tail import reached
from sqlalchemy import create_engine, text

from headrace_server.domain.change import Message, Outcome
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import Status
from headrace_server.store import SqlStore

LARGE = f'"{"x" * 100_000}"'
"""A result for which a full database has no page."""
RUNS = 4
LINE = Message(1, 1, "a line")
NO_ROOM = (
    """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device'; END $$""",
    "CREATE TRIGGER no_room BEFORE INSERT ON job_event FOR EACH STATEMENT EXECUTE FUNCTION no_room()",
)
ROOM = ("DROP FUNCTION no_room CASCADE",)
READ_ONLY = "ALTER DATABASE {name} SET default_transaction_read_only = {value}"
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def execute(url: str, *statements: str) -> None:
    """Make changes as an operator does, on a connection of one's own that may write."""
    engine = create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"),
        connect_args={"options": "-c default_transaction_read_only=off"},
    )
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@contextmanager
def sqlite(store: SqlStore, full: str, room: str) -> Iterator[None]:
    """The store's own connection is told so: SQLite answers as for a disk, and a mount."""
    for statement in (full, room):
        with closing(store._engines.writes.raw_connection()) as connection:
            connection.cursor().execute(f"PRAGMA {statement}")
        if statement is full:
            yield


@contextmanager
def full_postgresql(url: str) -> Iterator[None]:
    """Every event is refused with the error of a disk that is full."""
    execute(url, *NO_ROOM)
    yield
    execute(url, *ROOM)


@contextmanager
def read_only_postgresql(url: str) -> Iterator[None]:
    """New sessions take no writes, and there are only new ones."""
    name = url.partition("?")[0].rpartition("/")[2]
    execute(url, READ_ONLY.format(name=name, value="on"), END_OTHERS)
    yield
    execute(url, READ_ONLY.format(name=name, value="off"), END_OTHERS)


@pytest.fixture(params=["full", "read-only"])
def outage(
    request: pytest.FixtureRequest, database: str, store: SqlStore, url: str
) -> AbstractContextManager[None]:
    """For as long as its block lasts the database takes no writes."""
    if database == "postgresql":
        return (full_postgresql if request.param == "full" else read_only_postgresql)(url)
    if request.param == "full":
        return sqlite(store, "max_page_count = 1", f"max_page_count = {1 << 30}")  # 1: no page more
    return sqlite(store, "query_only = ON", "query_only = OFF")


async def test_what_runs_have_said_is_kept(
    store: SqlStore, outage: AbstractContextManager[None], caplog: pytest.LogCaptureFixture
) -> None:
    """Ends, results and messages are written when the database takes them, a stop is confirmed; the
    cause is in the log once, whatever was refused; callers are given it (failure case 9).
    """
    jobs = [await run(store) for _ in range(RUNS)]
    stopped = (await stop(store, await run(store))).job
    with outage:
        ends = [
            asyncio.ensure_future(ended(store, job, Outcome(result=LARGE), [("first", LARGE)], [LINE]))
            for job in jobs
        ]
        ends.append(asyncio.ensure_future(ended(store, stopped, Outcome(aborted=True))))
        await reached(lambda: caplog.text.count("runs cannot write") >= RUNS, "they cannot be written")
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=r"cannot be written now: .*(full|space|read-?only)"):
                await submit(store, description=LARGE)
        assert {(await now(store, job)).status for job in jobs} == {Status.RUNNING}
    causes = [said for said in caplog.messages if said.startswith("The store cannot write")]
    assert len(causes) == len({*causes})
    await asyncio.gather(*ends)
    for job in jobs:
        full = await store.get(job.job_id, tenant="default", payload=True)
        assert full.payload is not None
        assert (full.job.status, full.payload.result) == (Status.SUCCEEDED, LARGE)
        assert full.payload.results == {"first": LARGE}
        history = await store.events(job.job_id, after=0, limit=100)
        assert [event.revision for event in history] == list(range(1, full.job.revision + 1))
        assert [event.body["text"] for event in history if event.kind is EventKind.MESSAGE_LOGGED] == [
            LINE.text
        ]
    after = await now(store, stopped)
    assert (after.status, after.stop and after.stop.confirmed) == (Status.ABORTED, True)
