"""What a kill has hit: found out after the fact, from the files of the dead server and the calls that hang."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path

from headrace_server.domain.job import Status
from support import checker_journal
from support.checker_evidence import Evidence


class Moment(StrEnum):
    """What was going on when the server died. A kill hits each that holds."""

    SUBMITTING = "submit in flight"
    CLAIMED = "claimed"
    PERMITTED = "permitted"
    RUNNING = "running"
    FINISHING = "finishing"
    STOPPING = "stopping"
    WATCHING = "watch open"


CALLS = {"submit": Moment.SUBMITTING, "watch": Moment.WATCHING}


def moments(folder: Path, evidence: Evidence) -> set[Moment]:
    """What has just been hit. The server of this folder is dead; its database is checked too."""
    calls = evidence.open_calls()
    marks = {(mark.verb, mark.job_id, mark.attempt) for mark in checker_journal.read(evidence.log)}
    hit = {moment for verb, moment in CALLS.items() if verb in calls}
    with dead_database(folder) as database:
        check_whole(database)
        held = database.execute(
            "SELECT job_id, status, attempt, stop FROM job WHERE status IN (?, ?)",
            (Status.TO_BE_RUN, Status.RUNNING),
        ).fetchall()
    for job_id, status, attempt, stop in held:
        if status == Status.TO_BE_RUN:
            hit.add(Moment.CLAIMED)
        elif ("end", job_id, attempt) in marks:
            hit.add(Moment.FINISHING)
        elif ("start", job_id, attempt) in marks:
            hit.add(Moment.RUNNING)
        else:
            hit.add(Moment.PERMITTED)
        if status == Status.RUNNING and stop is not None:
            hit.add(Moment.STOPPING)
    return hit


@contextmanager
def dead_database(folder: Path) -> Iterator[sqlite3.Connection]:
    """A copy of what a dead server has left: looking must not repair it."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("headrace.db", "headrace.db-wal"):
            if (folder / name).exists():
                shutil.copy(folder / name, copy)
        with closing(sqlite3.connect(Path(copy) / "headrace.db")) as database:
            yield database


def check_whole(database: sqlite3.Connection) -> None:
    """Raise unless SQLite finds its file whole."""
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
