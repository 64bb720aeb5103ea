"""What is seen from outside the server, whatever is killed: the material of support.checker."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace.info import JobInfo, StopResult, Update
from support import checker_journal
from support.checker_journal import Mark


@dataclass(frozen=True, slots=True)
class AnsweredStop:
    """A stop, its grace period in seconds, and its answer."""

    grace: float
    result: StopResult


class Evidence:
    """What clients called and were answered, what watchers saw, where the side file is, when there
    was no server.

    takeover: where there are several servers, the seconds in which the others have what a dead one
    has held.
    """

    def __init__(self, log: Path, *, takeover: float | None = None) -> None:
        self.log = log
        self.takeover = takeover
        log.touch()
        self.submits: list[tuple[str, str]] = []
        """(request_id, job id), for each answer."""
        self.stops: list[AnsweredStop] = []
        self.ended: list[JobInfo] = []
        """Jobs that were answered as ended."""
        self.living: list[JobInfo] = []
        """Those of which a process was found behind that answer."""
        self.watches: list[tuple[str, Sequence[Update]]] = []
        self.frozen: set[tuple[str, int]] = set()
        """(job, attempt) of runs that were stopped with everything that could have killed them."""
        self.torn: list[tuple[str, str]] = []
        """Jobs of which a watch broke off, and why."""
        self.outages: list[tuple[datetime, datetime]] = []
        self.kills: Counter[str] = Counter()
        """How many kills hit which phase."""
        self.unanswered: Counter[str] = Counter()
        """Calls that ended by an error, by verb."""
        self._lock = threading.Lock()
        self._open: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def calling(self, verb: str, target: str) -> Iterator[None]:
        """A call is under way."""
        with self._lock:
            self._open[verb, target] += 1
        try:
            yield
        except BaseException:
            with self._lock:
                self.unanswered[verb] += 1
            raise
        finally:
            with self._lock:
                self._open[verb, target] -= 1

    @contextmanager
    def away(self) -> Iterator[None]:
        """There is no server: it is dead, and back at the end of this."""
        gone = datetime.now(UTC)
        yield
        self.outages.append((gone, datetime.now(UTC)))

    def open_calls(self, target: str) -> set[str]:
        """The verbs of calls that are under way to this server, and to no other in its stead."""
        with self._lock:
            return {verb for (verb, called), count in self._open.items() if count and called == target}

    def submitted(self, request_id: str, job_id: str) -> None:
        """A submit was answered."""
        self.submits.append((request_id, job_id))

    def stopped(self, grace: float, result: StopResult) -> StopResult:
        """A stop was answered."""
        self.stops.append(AnsweredStop(grace, result))
        self.seen(result.job)
        return result

    def seen(self, job: JobInfo) -> JobInfo:
        """A job was answered: if it has ended, look at once whether a process of it is left."""
        if job.final:
            self.ended.append(job)
            if not self.frozen_attempts(job.job_id) and checker_journal.lives(self.log, job.job_id):
                self.living.append(job)
        return job

    def frozen_attempts(self, job_id: str) -> set[int]:
        """The attempts of a job whose code was frozen."""
        return {attempt for frozen, attempt in self.frozen if frozen == job_id}

    def job_ids(self) -> list[str]:
        """Every job whose submit was answered."""
        return list(dict.fromkeys(job_id for _, job_id in self.submits))

    def marks(self) -> dict[str, list[Mark]]:
        """The side file by job."""
        found: dict[str, list[Mark]] = {}
        for mark in checker_journal.read(self.log):
            found.setdefault(mark.job_id, []).append(mark)
        return found
