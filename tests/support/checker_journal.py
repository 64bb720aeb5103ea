"""The side file: what the code of jobs writes itself, past the server, synced.

    start JOB ATTEMPT MICROSECONDS alone|beside
    end JOB ATTEMPT MICROSECONDS

A run holds a lock of its job from before its start line until no process of it is left: the kernel
lets go of it, not the code. So "beside" means that an earlier run of the job was alive, whatever
the server believed.
"""

import fcntl
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from headrace.jobs import JobContext
from support.jobs import append

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the side file."""

    verb: str
    job_id: str
    attempt: int
    at: datetime
    alone: bool = True

    def __str__(self) -> str:
        return f"{self.verb} of its code, attempt {self.attempt}"


def read(log: Path) -> list[Mark]:
    """Every line, in the order in which they were written."""
    return parse(log.read_text().splitlines())


def parse(lines: Iterable[str]) -> list[Mark]:
    """What lines say."""
    marks = []
    for line in lines:
        verb, job_id, attempt, at, *alone = line.split()
        when = EPOCH + timedelta(microseconds=int(at))
        marks.append(Mark(verb, job_id, int(attempt), when, alone != ["beside"]))
    return marks


def starts(log: Path, job_id: str) -> list[int]:
    """The attempts with which a job's code has begun."""
    return [int(found) for found in re.findall(rf"^start {job_id} (\d+) ", log.read_text(), re.MULTILINE)]


def lives(log: Path, job_id: str) -> bool:
    """Whether any process of the job's code lives.

    Only for a job that will not start: the asking takes its lock.
    """
    try:
        with _open_lock(log, job_id) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextmanager
def journal(ctx: JobContext, log: str) -> Iterator[int]:
    """Note start and end of a job's code; gives the lock, for the processes that it starts."""
    with _open_lock(Path(log), ctx.job_id) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = "alone"
        except BlockingIOError:
            alone = "beside"
        append(log, f"start {ctx.job_id} {ctx.attempt} {time.time_ns() // 1000} {alone}")
        try:
            yield lock.fileno()
        finally:
            append(log, f"end {ctx.job_id} {ctx.attempt} {time.time_ns() // 1000}")


def _open_lock(log: Path, job_id: str) -> IO[str]:
    locks = log.with_name(f"{log.name}-locks")
    locks.mkdir(exist_ok=True)
    # A file object and no descriptor: an interruption at any line leaves nothing open.
    return (locks / job_id).open("a")
