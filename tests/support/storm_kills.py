"""What a kill has hit: found out after the fact, from what the dead server has left and the calls
that hang.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import LiteralString

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


@dataclass(frozen=True, slots=True)
class Held:
    """A job that a dead server had taken, as its database tells."""

    job_id: str
    status: Status
    revision: int
    attempt: int
    stopping: bool
    instance: str


HELD: LiteralString = """
SELECT job_id, status, revision, attempt, stop IS NOT NULL, instance FROM job WHERE status IN (3, 4)
"""
"""Held, for either database."""


def moments(held: Iterable[Held], calls: set[str], evidence: Evidence) -> set[Moment]:
    """What has just been hit: by what the dead server held, and by the verbs of calls to it that
    were under way.
    """
    marks = {(mark.verb, mark.job_id, mark.attempt) for mark in checker_journal.read(evidence.log)}
    hit = {moment for verb, moment in CALLS.items() if verb in calls}
    for job in held:
        if job.status == Status.TO_BE_RUN:
            hit.add(Moment.CLAIMED)
        elif ("end", job.job_id, job.attempt) in marks:
            hit.add(Moment.FINISHING)
        elif ("start", job.job_id, job.attempt) in marks:
            hit.add(Moment.RUNNING)
        else:
            hit.add(Moment.PERMITTED)
        if job.status == Status.RUNNING and job.stopping:
            hit.add(Moment.STOPPING)
    return hit


def held_in(folder: Path) -> list[Held]:
    """What the dead server of this folder held; its SQLite file is checked too."""
    with dead_database(folder) as database:
        check_whole(database)
        return [Held(*row) for row in database.execute(HELD)]


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
