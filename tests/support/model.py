"""What a store of jobs is, said a second time: a pure model, written from docs/state_machine.md and
the contract.

It shares no line with the product: statuses, kinds and phases are words, a refusal is the name of
an error. What the store does with tables, batches and transactions is here a dict of records.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

FINAL = frozenset({"SUCCEEDED", "FAILED", "ABORTED"})
HELD = frozenset({"TO_BE_RUN", "RUNNING"})
PHASES = ("REQUESTED", "DELIVERED", "TERMINATING", "KILLING", "ENDED")
RETRIED = frozenset(
    {"EXCEPTION", "TIMED_OUT", "WORKER_LOST", "INSTANCE_LOST", "INSTANCE_DRAINED", "SETUP_FAILED"}
)
LATE = frozenset({"priority", "run_after", "expire_time"})
"""What an update may change only before the end."""


class Refused(Exception):
    """An error instead of an answer; its text is the name of the error."""


@dataclass(frozen=True)
class SeenEvent:
    """An event: revision, kind, status and attempt after it, time, and what it says."""

    revision: int
    kind: str
    status: str
    attempt: int
    at: int
    says: tuple[Any, ...] = ()


@dataclass
class Attempt:
    """One start."""

    start_time: int
    end_time: int | None = None
    error: str | None = None


@dataclass
class Stop:
    """A stop that was asked for."""

    phase: str
    kill_time: int
    grace: int
    confirmed: bool = False


@dataclass
class Record:
    """A job."""

    job_id: str
    tenant: str
    type: str
    owner: str
    priority: int
    labels: dict[str, str]
    run_after: int | None
    expire_time: int | None
    max_attempts: int
    backoff: int
    create_time: int
    status: str = "QUEUED"
    status_time: int = 0
    description: str = ""
    locked: bool = False
    version: int = 1
    queue_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    next_attempt_time: int | None = None
    due_time: int | None = None
    claim: int = 0
    instance: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    progress: int | None = None
    error: str | None = None
    stop: Stop | None = None
    messages: int = 0
    dropped: int = 0
    results: dict[str, str] = field(default_factory=dict)
    history: list[SeenEvent] = field(default_factory=list)

    @property
    def attempt(self) -> int:
        """How many attempts have begun."""
        return len(self.attempts)

    @property
    def ready(self) -> bool:
        """Whether it may be claimed."""
        return self.status == "QUEUED" and self.due_time is None

    @property
    def expires(self) -> bool:
        """Whether its expire_time counts: until its first attempt."""
        return self.expire_time is not None and self.status not in FINAL | {"RUNNING"} and not self.attempts

    def tell(self, kind: str, at: int, *says: Any) -> None:
        """One more event."""
        self.history.append(SeenEvent(len(self.history) + 1, kind, self.status, self.attempt, at, says))

    def move(self, to: str, at: int, error: str | None = None) -> None:
        """Another status."""
        before, self.status, self.status_time = self.status, to, at
        if error is not None:
            self.error = error
        if to in FINAL:
            self.end_time, self.due_time, self.next_attempt_time = at, None, None
        self.tell("STATUS_CHANGED", at, before, to, error)

    def wait(self, at: int) -> None:
        """When it may be taken: at max(run_after, next_attempt_time), or now."""
        due = max(self.run_after or 0, self.next_attempt_time or 0)
        self.due_time = due if due > at else None


class Model:
    """Jobs by id.

    Each method is what a caller, the clock or a run does; it answers, or raises Refused and changes
    nothing.
    """

    def __init__(self, now: int) -> None:
        self.now = now
        self.jobs: dict[str, Record] = {}
        self.requests: dict[tuple[str, str], tuple[str, str]] = {}

    def job(self, job_id: str, tenant: str | None = None) -> Record:
        """A job, of this tenant."""
        job = self.jobs.get(job_id)
        if job is None or tenant not in (None, job.tenant):
            raise Refused("JobNotFound")
        return job

    # Callers

    def submit(self, job: Record, *, hold: bool, request_id: str, digest: str) -> tuple[str, bool]:
        """A new job, or the one of this request_id: its id, and whether it existed."""
        if request_id:
            made, first = self.requests.setdefault((job.tenant, request_id), (job.job_id, digest))
            if first != digest:
                raise Refused("RequestIdReused")
            if made != job.job_id:
                return self.job(made).job_id, True
        job.create_time = job.status_time = self.now
        job.status = "PENDING" if hold else "QUEUED"
        if not hold:
            job.queue_time = self.now
            job.wait(self.now)
        job.tell("CREATED", self.now)
        self.jobs[job.job_id] = job
        return job.job_id, False

    def release(self, job_id: str) -> None:
        """ReleaseJob."""
        job = self.job(job_id)
        if job.status == "PENDING":
            job.queue_time = self.now
            job.wait(self.now)
            job.move("QUEUED", self.now)
        elif job.queue_time is None:
            raise Refused("WrongStatus")

    def request_stop(self, job_id: str, grace: int) -> None:
        """StopJob."""
        job = self.job(job_id)
        if job.status in FINAL:
            return
        if job.stop is None:
            job.stop = Stop("REQUESTED", self.now + grace, grace)
            job.tell("STOP_CHANGED", self.now, "REQUESTED")
        elif grace < job.stop.grace:
            job.stop.kill_time, job.stop.grace = min(job.stop.kill_time, self.now + grace), grace
            job.tell("UPDATED", self.now, "stop.kill_time")
        if job.status != "RUNNING":
            self._end_stop(job, confirmed=True)
            job.move("ABORTED", self.now)

    def update(self, job_id: str, fields: dict[str, Any], version: int | None) -> None:
        """UpdateJob; version is what the etag stands for."""
        job = self.job(job_id)
        changed = {name: value for name, value in fields.items() if getattr(job, name) != value}
        if changed and version not in (None, job.version):
            raise Refused("EtagMismatch")
        if job.status in FINAL and changed.keys() & LATE:
            raise Refused("WrongStatus")
        if changed:
            for name, value in changed.items():
                setattr(job, name, value)
            job.version += 1
            if job.status == "QUEUED":
                job.wait(self.now)
            job.tell("UPDATED", self.now, *sorted(changed))

    def delete(self, job_id: str, tenant: str) -> None:
        """DeleteJob. Its request_id stays known."""
        job = self.job(job_id, tenant)
        if job.locked:
            raise Refused("JobLocked")
        if job.status not in FINAL:
            raise Refused("WrongStatus")
        del self.jobs[job_id]

    # The clock, and a death

    def run_timers(self) -> int | None:
        """What is due; the time of the next."""
        for job in self.jobs.values():
            if job.due_time is not None and job.due_time <= self.now:
                job.due_time = None
            if job.expires and job.expire_time is not None and job.expire_time <= self.now:
                job.move("FAILED", self.now, "EXPIRED")
        upcoming = [job.due_time for job in self.jobs.values() if job.due_time is not None]
        upcoming += [job.expire_time for job in self.jobs.values() if job.expires and job.expire_time]
        return min(upcoming, default=None)

    def recover(self, *, confirmed: bool) -> int:
        """The instance is gone: what it held."""
        held = [job for job in self.jobs.values() if job.status in HELD]
        for job in held:
            if job.status == "TO_BE_RUN":
                self._give_back(job)
            else:
                self._finish(job, "INSTANCE_LOST", confirmed=confirmed)
        return len(held)

    # A run

    def ready(self, types: Iterable[str]) -> list[Record]:
        """What may be claimed, the best first."""
        found = [job for job in self.jobs.values() if job.ready and job.type in types]
        return sorted(found, key=lambda job: (-job.priority, job.queue_time, job.job_id))

    def claimed(
        self, taken: Sequence[str], slots: Sequence[bool], types: Iterable[str], instance: str
    ) -> None:
        """Raise unless these are the jobs that a claim must take: all there are or as many as
        slots, the best of each tenant, tenants in turn.
        """
        ready = self.ready(types)
        left = {
            tenant: [job for job in ready if job.tenant == tenant] for tenant in {j.tenant for j in ready}
        }
        served = dict.fromkeys(left, 0)
        free = list(slots)
        for job_id in taken:
            assert free, f"{job_id} was taken without a slot"
            job = self.job(job_id)
            assert left.get(job.tenant), f"{job_id} was not ready"
            assert left[job.tenant].pop(0) is job, f"{job_id} was not the best of {job.tenant}"
            served[job.tenant] += 1
            job.claim += 1
            job.instance = instance
            job.next_attempt_time = None
            job.move("TO_BE_RUN", self.now)
            if not free[0] or self._permit(job):
                free.pop(0)
        assert not free or not any(left.values()), f"{len(free)} slots are empty, and {left} are ready"
        for tenant, jobs in left.items():
            assert not jobs or max(served.values()) <= served[tenant] + 1, f"{tenant} had no turn: {served}"

    def run(self, job_id: str, claim: int, instance: str) -> Record:
        """The job, for a write of a run that has this claim."""
        job = self.job(job_id)
        if job.status not in HELD or (job.claim, job.instance) != (claim, instance):
            raise Refused("StaleClaim")
        return job

    def permit(self, job: Record) -> None:
        """The start permit; EXPIRED when its time had come before."""
        self._permit(job)

    def _permit(self, job: Record) -> bool:
        if job.expires and job.expire_time is not None and job.expire_time <= self.now:
            job.move("FAILED", self.now, "EXPIRED")
            return False
        job.attempts.append(Attempt(self.now))
        job.start_time = job.start_time if job.start_time is not None else self.now
        job.progress = job.error = None
        job.messages = job.dropped = 0
        job.results = {}
        job.move("RUNNING", self.now)
        return True

    def return_permit(self, job: Record) -> None:
        """A claim or a permit that came back unused: it costs nothing."""
        if job.status == "TO_BE_RUN":
            self._give_back(job)
        elif job.stop is not None:
            job.attempts[-1].end_time = self.now
            self._end_stop(job, confirmed=True)
            job.move("ABORTED", self.now)
        else:
            job.attempts.pop()
            job.start_time = job.attempts[0].start_time if job.attempts else None
            job.wait(self.now)
            job.move("QUEUED", self.now)

    def report(self, job: Record, done: int) -> None:
        """Progress: no event."""
        job.progress = done

    def log(self, job: Record, count: int, limit: int) -> None:
        """Messages; beyond the limit they are counted."""
        room = max(0, limit - job.messages)
        for number in range(min(room, count)):
            job.tell("MESSAGE_LOGGED", self.now, f"message {number}")
        job.messages += min(room, count)
        job.dropped += max(0, count - room)

    def set_result(self, job: Record, name: str, value: str) -> None:
        """A named result."""
        job.results[name] = value
        job.tell("RESULT_SET", self.now, name)

    def stop_phase(self, job: Record, phase: str) -> None:
        """The stop goes on; phases only rise."""
        if job.stop is not None and PHASES.index(phase) > PHASES.index(job.stop.phase):
            job.stop.phase = phase
            if phase == "KILLING":
                job.stop.kill_time = self.now
            job.tell("STOP_CHANGED", self.now, phase)

    def finish(self, job: Record, error: str | None, **outcome: Any) -> None:
        """The run has ended."""
        if job.status == "TO_BE_RUN":
            self._give_back(job)
        else:
            self._finish(job, error, **outcome)

    def _finish(
        self,
        job: Record,
        error: str | None,
        *,
        aborted: bool = False,
        retry: bool = False,
        stop_seen: bool = False,
        insisted: bool = False,
        confirmed: bool = True,
        result: str | None = None,
    ) -> None:
        job.attempts[-1].end_time, job.attempts[-1].error = self.now, error
        if job.dropped:
            job.tell("MESSAGES_DROPPED", self.now, job.dropped)
        again = error is not None and (error in RETRIED or retry) and job.attempt < job.max_attempts
        if error is None and not aborted and (job.stop is None or insisted or not stop_seen):
            if result is not None:
                self.set_result(job, "", result)
            self._end_stop(job, confirmed=confirmed)
            job.move("SUCCEEDED", self.now)
        elif job.stop is not None or aborted:
            self._end_stop(job, confirmed=confirmed)
            job.move("ABORTED", self.now, error)
        elif again:
            job.next_attempt_time = self.now + job.backoff
            job.wait(self.now)
            job.move("QUEUED", self.now, error)
        else:
            job.move("FAILED", self.now, error)

    def _give_back(self, job: Record) -> None:
        job.due_time = job.run_after if job.run_after is not None and job.run_after > self.now else None
        job.move("QUEUED", self.now)

    def _end_stop(self, job: Record, *, confirmed: bool) -> None:
        if job.stop is not None:
            job.stop.phase, job.stop.confirmed = "ENDED", confirmed
            job.tell("STOP_CHANGED", self.now, "ENDED")
