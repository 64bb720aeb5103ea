"""The rows of a database, read as they lie on the disk, and whether they agree: plain SQL, of the
product its tables' names.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from headrace_server.store.tables import schema

QUEUED, RUNNING, FINAL = 2, 4, (5, 6, 7)
DUE, EXPIRE = 1, 2
STATUS_CHANGED, RESULT_SET = 2, 4

Rows = dict[str, list[tuple[Any, ...]]]


class Row(tuple[Any, ...]):
    """A row whose values are found by place and by name, as those of sqlite3.Row are."""

    __slots__ = ()
    names: ClassVar[dict[str, int]]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names[key] if isinstance(key, str) else key)


def _row_maker(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
    names = {column.name: place for place, column in enumerate(cursor.description or ())}
    return type("Row", (Row,), {"names": names, "__slots__": ()})  # a class makes its rows


class Postgresql:
    """A connection to PostgreSQL that is used here as one to SQLite is."""

    row_factory: Any = None

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, row_factory=_row_maker)

    def execute(self, text: str) -> Any:
        """Rows of a statement."""
        return self._connection.execute(text)  # type: ignore[call-overload] # a text of these tests

    def empty(self) -> None:
        """Take every row away."""
        tables = ", ".join(name for name in schema.metadata.tables if name != "duty")
        self._connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")  # type: ignore[call-overload] # as above
        self._connection.execute("UPDATE duty SET turn = 0")

    def read(self) -> "Rows":
        """Every row of every table, in one snapshot."""
        with self._connection.transaction():
            return {
                table: sorted(map(tuple, self.execute(f'SELECT * FROM "{table}"')), key=repr)  # noqa: S608 - a name of the schema
                for table in schema.metadata.tables
            }

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def read(path: Path) -> Rows:
    """Every row of every table, in one snapshot."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
        ]
        return {
            table: sorted(connection.execute(f'SELECT * FROM "{table}"').fetchall(), key=repr)  # noqa: S608 - a name of the database's own
            for table in tables
        }


def check(path: Path, *, whole: bool = True) -> None:
    """Raise unless the rows agree: each job has its whole history, and what is derived is what
    follows from the jobs.

    whole: have SQLite check its pages and indexes too.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if whole:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        check_on(connection)


def check_on(connection: sqlite3.Connection) -> None:
    """The same on a connection that is open."""
    connection.row_factory = sqlite3.Row
    connection.execute("BEGIN")
    try:
        jobs = {row["job_id"]: row for row in connection.execute("SELECT * FROM job")}
        histories: dict[str, list[sqlite3.Row]] = {job_id: [] for job_id in jobs}
        for event in connection.execute("SELECT * FROM job_event ORDER BY job_id, revision"):
            assert event["job_id"] in jobs, f"an event of {event['job_id']}, which is not there"
            histories[event["job_id"]].append(event)
        for job_id, job in jobs.items():
            _check_history(job, histories[job_id])
        _check_derived(connection, list(jobs.values()))
        _check_payloads(connection, histories)
        for tenant, request_id, made in connection.execute("SELECT tenant, request_id, job_id FROM request"):
            known = jobs.get(made)
            assert known is None or known["tenant"] == tenant, f"{request_id} made a job of another tenant"
    finally:
        connection.execute("ROLLBACK")


def _check_history(job: sqlite3.Row, events: list[sqlite3.Row]) -> None:
    job_id = job["job_id"]
    revisions = [event["revision"] for event in events]
    assert revisions == list(range(1, job["revision"] + 1)), f"{job_id} at {job['revision']} has {revisions}"
    last = events[-1]
    assert last["status"] == job["status"], (
        f"{job_id} is {job['status']}, its history ends in {last['status']}"
    )
    assert last["attempt"] == job["attempt"], (
        f"{job_id} in attempt {job['attempt']}, history {last['attempt']}"
    )
    attempts = json.loads(job["attempts"] or "[]")
    assert [attempt["number"] for attempt in attempts] == list(range(1, job["attempt"] + 1))
    ended = [attempt for attempt in attempts if "end_time" in attempt]
    assert len(attempts) - len(ended) == (job["status"] == RUNNING), f"{job_id}: open attempts in {attempts}"
    assert (job["end_time"] is not None) == (job["status"] in FINAL), f"{job_id}: an end in {job['status']}"


def _check_derived(connection: sqlite3.Connection, jobs: list[sqlite3.Row]) -> None:
    ready = {
        (
            job["queue"],
            job["type"],
            job["tenant"],
            -job["priority"],
            job["queue_time"],
            job["job_id"],
            job["owner"],
        )
        for job in jobs
        if job["status"] == QUEUED and job["due_time"] is None
    }
    timer = {
        (job["due_time"], DUE, job["job_id"])
        for job in jobs
        if job["status"] == QUEUED and job["due_time"] is not None
    } | {
        (job["expire_time"], EXPIRE, job["job_id"])
        for job in jobs
        if job["expire_time"] is not None and job["status"] < RUNNING and job["attempt"] == 0
    }
    assert {tuple(row) for row in connection.execute("SELECT * FROM ready")} == ready, (
        "ready is not what follows"
    )
    assert {tuple(row) for row in connection.execute("SELECT * FROM timer")} == timer, (
        "timer is not what follows"
    )


def _check_payloads(connection: sqlite3.Connection, histories: dict[str, list[sqlite3.Row]]) -> None:
    given = [job_id for (job_id,) in connection.execute("SELECT job_id FROM job_parameters")]
    assert sorted(given) == sorted(histories), "each job has its parameters, and there are no others"
    results = {(job_id, name) for job_id, name in connection.execute("SELECT job_id, name FROM job_result")}
    told = {(job_id, name) for job_id, events in histories.items() for name in _results_told(events)}
    assert results == told, "the results are those that were told since the last start"


def _results_told(events: list[sqlite3.Row]) -> set[str]:
    """The results that there should be: a start clears those of the attempt before."""
    names: set[str] = set()
    for event in events:
        if event["kind"] == RESULT_SET:
            names.add(json.loads(event["body"])["name"])
        elif event["kind"] == STATUS_CHANGED and event["status"] == RUNNING:
            names.clear()
    return names
