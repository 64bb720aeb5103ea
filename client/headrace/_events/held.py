"""Keeps jobs whose next event could not be handled yet.

Each job waits on its own, and its later events wait behind the failed one, in order.

A message that is given back to RabbitMQ comes again behind those that the consumer holds already,
so a job's events would change places; and at once, so a handler that fails would be called
thousands of times a second. Instead the message is kept, unacknowledged, and its handler is called
again after a pause. How many messages are kept is bounded by the prefetch count: when all of it
waits, the broker sends no more.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

D = TypeVar("D")


@dataclass(slots=True)
class _Job(Generic[D]):
    """One job that is held up: its messages, and when the first of them is due."""

    waiting: deque[D] = field(default_factory=deque)
    failures: int = 0
    due: float = 0.0


class Held(Generic[D]):
    """The jobs that are held up, by id. Times are in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[str, _Job[D]] = {}

    def add(self, job_id: str, delivery: D) -> bool:
        """Puts a delivery behind those of its job; False where the job is not held up."""
        job = self._jobs.get(job_id)
        if job is None:
            return False
        job.waiting.append(delivery)
        return True

    def failed(self, job_id: str, delivery: D) -> float:
        """Puts a delivery that was not handled at the front of the queue of its job.

        Returns the pause, in seconds, until it is due again.
        """
        job = self._jobs.setdefault(job_id, _Job())
        job.waiting.appendleft(delivery)
        job.failures += 1
        pause = min(FIRST_PAUSE * 2.0 ** min(job.failures - 1, 10), LONGEST_PAUSE)
        job.due = self._clock() + pause
        return pause

    def failures(self, job_id: str) -> int:
        """How often the job's next event has failed."""
        return self._jobs[job_id].failures if job_id in self._jobs else 0

    def settled(self, job_id: str) -> None:
        """The job's next event is done with: the one behind it is due at once."""
        job = self._jobs.get(job_id)
        if job is None:
            return
        job.failures, job.due = 0, 0.0
        if not job.waiting:
            del self._jobs[job_id]

    def due(self) -> D | None:
        """Takes the delivery whose time came first; None when there is none yet."""
        jobs = [job for job in self._jobs.values() if job.waiting]
        first = min(jobs, key=lambda job: job.due, default=None)
        return first.waiting.popleft() if first is not None and first.due <= self._clock() else None

    def wait(self) -> float | None:
        """Seconds until the next one is due; None when none waits."""
        dues = [job.due for job in self._jobs.values() if job.waiting]
        return max(min(dues) - self._clock(), 0.0) if dues else None

    def forget(self) -> None:
        """The connection is lost: all will be delivered again. The pauses go on.

        A job of which nothing has come since the last time is given up.
        """
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job.waiting}
        for job in self._jobs.values():
            job.waiting.clear()
