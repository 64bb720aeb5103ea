"""One run under way: its writes in order, its progress, its clock."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, fields
from functools import partial
from operator import attrgetter
from typing import TypedDict

from headrace.jobs import RunInfo
from headrace_server.domain import change, running
from headrace_server.domain.change import Message, Outcome
from headrace_server.domain.errors import JobNotFound, StaleClaim, StoreUnavailable
from headrace_server.domain.job import Job, JobError, Progress
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.jobs import Decision, JobChanger
from headrace_server.work.dispatch.estimate import Estimate
from headrace_server.work.dispatch.stop_escalation import StopEscalation
from headrace_server.work.executor import ProgressReport, RunKey

log = logging.getLogger(__name__)


_TOLD = tuple(field.name for field in fields(RunInfo) if field.name not in ("claim", "parameters"))
_told_of = attrgetter(*_TOLD)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How runs are followed.

    Seconds: progress_interval between stored progress, abort_grace between SIGTERM and SIGKILL.
    messages_per_attempt are kept.
    """

    progress_interval: float = 1.0
    messages_per_attempt: int = 10_000
    abort_grace: float = 2.0


CROWD = 64
"""Writes of a run that may wait, and that are committed at once.

A run for which so many wait is held back.
"""

REST = 3.0
"""The rest of a run that was held back, as a multiple of the time that its writes took.

So it gets a quarter of the store at most.
"""


END_PAUSE_FIRST, END_PAUSE_MAX = 0.5, 60.0
"""Seconds before an end is written again that the store has refused in every form."""


class HeldBy(TypedDict):
    """Whose run it is: what every function of domain.running compares with the job."""

    claim: int
    instance: str


@dataclass(frozen=True, slots=True)
class Write:
    """A decision on the job, and what takes its place where the store refuses it.

    `otherwise` returns that decision, or None for nothing.

    last: the end of the run. It is written again until the store takes it in one form: else it
    would run for ever.
    """

    decide: Decision
    otherwise: Callable[[Exception], Decision | None] = lambda _refusal: None
    last: bool = False


class ActiveRun:
    """A claimed job of this instance.

    Writes are kept in order and repeated while the store is out of reach: what a run has said is
    never dropped. A run that says more than the store can take is held back: it waits, and nobody
    else does.
    """

    escalation: StopEscalation

    def __init__(
        self,
        job: Job,
        parameters: str,
        store: JobChanger,
        *,
        spawn: Callable[[Coroutine[None, None, None]], None],
        on_lost: Callable[["ActiveRun", Exception], None],
        hold_back: Callable[["ActiveRun", bool], None],
        outage: Outage,
    ) -> None:
        """Writes are coroutines given to spawn, which runs them to their end.

        on_lost is told when a write finds that the claim holds the job no longer; hold_back, when
        too many writes wait (True) and when they are written (False). outage logs that the store
        cannot write, for all runs.
        """
        self.job = job
        self.key = RunKey(job.job_id, job.claim)
        self._held_by: HeldBy = {"claim": job.claim, "instance": job.instance}
        self.slot = ""
        self.sent = False
        self.begun = False
        self.permitting = False
        self.lost = False
        """Whether the claim of this run holds the job no longer."""
        self._parameters = parameters
        self._store = store
        self._spawn = spawn
        self._on_lost = on_lost
        self._hold_back = hold_back
        self._outage = outage
        self._held_back = False
        self._rest: asyncio.TimerHandle | None = None
        self._pending: list[Write] = []
        self._end_pause = END_PAUSE_FIRST
        self._refused: JobError | None = None
        """Why a result that the run has set is not kept: it cannot succeed any more."""
        self._writing = False
        self._begun_at = 0.0
        self._progress: Progress | None = None
        self._estimate = Estimate()
        self._progress_timer: asyncio.TimerHandle | None = None
        self._progress_written = float("-inf")

    def learn(self, job: Job) -> bool:
        """Take over the job as it stands by now; False for one that is older than what is known.

        The answer of a write, what the store tells of its commits and what is read after others
        have written come by different ways: whichever is late must not make a stop forgotten.
        """
        if job.revision < self.job.revision:
            return False
        self.job = job
        return True

    def run(self) -> RunInfo:
        """Return what the child is given: the fields of the job that RunInfo has."""
        told = dict(zip(_TOLD, _told_of(self.job), strict=True))
        return RunInfo(**told, claim=self.key.claim, parameters=self._parameters)

    def about(self) -> dict[str, object]:
        """Return the fields that a log line about this run carries."""
        return {"job_id": self.key.job_id, "attempt": self.job.attempt, "worker": self.slot}

    def begin(self) -> None:
        """Its code is called now."""
        self.begun = True
        self._begun_at = time.monotonic()

    def seconds(self) -> float:
        """How long its code has run."""
        return time.monotonic() - self._begun_at

    def bound(self, decide: Callable[..., change.Change], **arguments: object) -> Decision:
        """A function of domain.running for this run: by its claim, of this instance."""
        return partial(decide, **self._held_by, **arguments)

    def permit(self, job: Job, now: int) -> change.Change:
        """The start permit for the slot that it has."""
        return running.permit(job, now, **self._held_by, worker=self.slot)

    def log(self, messages: Sequence[Message], limit: int, dropped: int) -> None:
        """Messages go to the log; those that the store refuses are counted as dropped."""
        self.write(
            self.bound(running.log, limit=limit, messages=messages, dropped=dropped),
            lambda _refusal: self.bound(
                running.log, limit=limit, messages=(), dropped=dropped + len(messages)
            ),
        )

    def set_result(self, name: str, value: str) -> None:
        """A named result goes to the store; with one that it refuses the run cannot succeed."""

        def refused(refusal: Exception) -> None:
            self._refused = self._refused or running.result_not_stored(name, refusal)

        self.write(self.bound(running.set_result, name=name, value=value), refused)

    def end(self, outcome: Outcome) -> None:
        """Store what the run said last, then its end.

        The end is in words of the server's own where it must be.
        """
        self.flush_progress()

        def ended() -> Outcome:
            # When it is written: by then it is known whether its results were taken.
            return running.without_results(outcome, self._refused)

        def finish(job: Job, now: int) -> change.Change:
            return running.finish(job, now, **self._held_by, outcome=ended())

        def in_short(refusal: Exception) -> Decision:
            return self.bound(running.end_in_short, error=running.not_stored(ended(), refusal))

        self.write(finish, in_short, last=True)

    def write(
        self,
        decide: Decision,
        otherwise: Callable[[Exception], Decision | None] = lambda _refusal: None,
        *,
        last: bool = False,
    ) -> None:
        """Apply to the job, after everything written before. See Write."""
        self._pending.append(Write(decide, otherwise, last))
        if len(self._pending) >= CROWD and not self._held_back:
            self._held_back = True
            self._hold_back(self, True)
        if not self._writing:
            self._writing = True
            self._spawn(self._write_pending())

    async def _write_pending(self) -> None:
        pause = 0.05
        together = True
        while self._pending:
            count = CROWD if together else 1
            batch, self._pending = self._pending[:count], self._pending[count:]
            began = time.monotonic()
            try:
                await self._store.apply(self.key.job_id, change.chain([one.decide for one in batch]))
                self._outage.over()
            except StoreUnavailable as error:
                self._outage.met(error, **self.about())
                self._pending[:0] = batch
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
            except (StaleClaim, JobNotFound) as error:
                self._pending.clear()
                self._on_lost(self, error)
            except Exception as error:
                # A defect in one write must not take the others along, the end of the run least of
                # all.
                log.exception("a write of a run failed", extra=self.about())
                if together:
                    together = False
                    self._pending[:0] = batch
                elif (decide := batch[0].otherwise(error)) is not None:
                    await self._write_otherwise(batch[0], decide)
            if self._held_back and self._rest is None and len(self._pending) < CROWD:
                rest = REST * (time.monotonic() - began)
                self._rest = asyncio.get_running_loop().call_later(rest, self._let_go)
        self._writing = False

    async def _write_otherwise(self, end: Write, decide: Decision) -> None:
        """Write what was refused in a form that the store takes.

        An end that is taken in no form is written again as it was, later.
        """
        try:
            await self._store.apply(self.key.job_id, decide)
        except Exception:
            if not end.last:
                log.exception("a write of a run failed in every form", extra=self.about())
                return
            log.exception("the end of a run cannot be written in any form, trying again", extra=self.about())
            self._pending.insert(0, end)
            await asyncio.sleep(self._end_pause)
            self._end_pause = min(END_PAUSE_MAX, 2 * self._end_pause)
        else:
            what = "the end" if end.last else "messages"
            log.error(
                "the store has refused %s of a run: it is written without its words",
                what,
                extra=self.about(),
            )

    def _let_go(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._held_back:
            self._held_back = False
            self._hold_back(self, False)

    def progressed(self, report: ProgressReport, interval: float) -> Progress:
        """Return the latest progress with percent and estimate.

        It is stored now, or when the interval is over.
        """
        percent = max(0.0, min(100.0, 100.0 * report.done / report.total)) if report.total else None
        started = self.job.attempts[-1].start_time if self.job.attempts else report.at
        end = self._estimate.end(report, started)
        latest = self._progress = Progress(report.done, report.total, report.message, report.at, percent, end)
        wait = self._progress_written + interval - time.monotonic()
        if wait <= 0:
            self.flush_progress()
        elif self._progress_timer is None:
            self._progress_timer = asyncio.get_running_loop().call_later(wait, self.flush_progress)
        return latest

    def flush_progress(self) -> None:
        """Store the latest progress, if it is not stored."""
        if self._progress_timer is not None:
            self._progress_timer.cancel()
            self._progress_timer = None
        if self._progress is not None:
            self._progress_written = time.monotonic()
            latest, self._progress = self._progress, None
            self.write(self.bound(running.progress, latest=latest))

    def close(self) -> None:
        """It is over: no timer is left, its slot is read. Writes that are under way go on."""
        self.escalation.close()
        self._let_go()
        if self._progress_timer is not None:
            self._progress_timer.cancel()
