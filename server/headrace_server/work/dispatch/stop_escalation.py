"""The stop escalation: from a flag to SIGKILL of the whole tree, and what the end then means.

    heard of       grace - min(grace/2, 2 s)             grace
      │ flag                  │ SIGTERM                    │ SIGKILL of the child and everything below it
      ▼                       ▼                            ▼
    DELIVERED             TERMINATING                   KILLING ──> the supervisor has reaped all ──> ENDED

Spans are counted by a stopwatch of this instance, from the moment in which it hears of the stop:
who was asked may have another clock.

The same escalation serves a caller's stop and an abort by the server: the server's own end of a
run, by timeout or drain, with the error that the attempt gets. A later stop can only bring the kill
forward. The slot's backlog is recalled before each signal. ABORTED is written when the end was
seen, never before.

A run that shares its child is interrupted there where others get SIGTERM, and before the kill the
others in the child have a grace (slot_table).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from headrace_server.domain import running
from headrace_server.domain.change import Change, Outcome
from headrace_server.domain.job import ErrorKind, Job, JobError, Stop, StopPhase
from headrace_server.domain.ports.jobs import Decision
from headrace_server.work.executor import Executor, RunKey

NOTICE = 2_000_000
"""Microseconds between SIGTERM and SIGKILL, where the grace period leaves room."""


class Climber(Protocol):
    """The run on the escalation."""

    job: Job
    key: RunKey
    slot: str

    def bound(self, decide: Callable[..., Change], **arguments: object) -> Decision:
        """A function of domain.running for this run."""
        ...

    def write(self, decide: Decision) -> None:
        """Apply to the job."""
        ...


class StopEscalation:
    """One run's way to its end."""

    def __init__(
        self,
        run: Climber,
        executor: Executor,
        clear_backlog: Callable[[str], None],
        kill: Callable[[], None],
    ) -> None:
        """clear_backlog recalls what waits behind this run in its slot.

        kill ends its child, with regard to others in it.
        """
        self._run = run
        self._kill_child = kill
        self._executor = executor
        self._clear_backlog = clear_backlog
        self._timers: list[asyncio.TimerHandle] = []
        self._timeout: asyncio.TimerHandle | None = None
        self._kill_at: float | None = None
        """By the loop's time, for a caller's stop."""
        self._aborted_with: JobError | None = None
        self._killed = False

    @property
    def killing(self) -> bool:
        """Whether the run has had its grace, and its child is to be killed."""
        return self._killed

    def begun(self) -> None:
        """The job's code runs now: its timeout counts from here."""
        span = self._run.job.timeout
        if span is not None:
            error = JobError(
                ErrorKind.TIMED_OUT, f"It ran longer than its attempt_timeout of {span / 1e6:g} s."
            )
            loop = asyncio.get_running_loop()
            self._timeout = loop.call_later(span / 1e6, self.abort_by_server, error, NOTICE / 1e6)

    def stop(self, stop: Stop) -> None:
        """A caller's stop is on disk, or was brought forward."""
        kill_at = asyncio.get_running_loop().time() + stop.grace / 1e6
        first = self._kill_at is None
        if self._kill_at is not None and kill_at >= self._kill_at:
            return
        self._kill_at = kill_at
        if first:
            self._executor.flag_stop(self._run.slot, self._run.key, stop.reason)
            self._phase(StopPhase.DELIVERED)
        notice = min(stop.grace // 2, NOTICE)
        self._climb(terminate=(stop.grace - notice) / 1e6, kill=stop.grace / 1e6)

    def abort_by_server(self, error: JobError, grace: float) -> None:
        """End the run from the server's side: SIGTERM now, SIGKILL after `grace` seconds.

        Of several the first says why, and the shortest when. With no grace at all the child is
        killed at once, whoever else is in it.
        """
        if self._aborted_with is None:
            self._aborted_with = error
            self._executor.flag_stop(self._run.slot, self._run.key, error.message)
        if grace <= 0:
            self._enter_kill()
            self._executor.kill(self._run.slot)
        else:
            self._climb(terminate=0, kill=grace)

    def _climb(self, *, terminate: float, kill: float) -> None:
        loop = asyncio.get_running_loop()
        self._clear_backlog(self._run.slot)
        if kill <= 0:
            self._kill()
            return
        self._timers += [
            loop.call_later(max(0.0, terminate), self._terminate),
            loop.call_later(kill, self._kill),
        ]

    def _terminate(self) -> None:
        self._clear_backlog(self._run.slot)
        self._phase(StopPhase.TERMINATING)
        self._executor.terminate(self._run.slot, self._run.key)

    def _kill(self) -> None:
        if not self._killed:
            self._enter_kill()
            self._kill_child()

    def _enter_kill(self) -> None:
        self._killed = True
        self._clear_backlog(self._run.slot)
        self._phase(StopPhase.KILLING)

    def _phase(self, phase: StopPhase) -> None:
        if self._run.job.stop is not None:
            self._run.write(self._run.bound(running.stop_phase, phase=phase))

    def interpret(self, outcome: Outcome) -> Outcome:
        """Return what an end means, given what has asked for it."""
        returned = outcome.error is None and not outcome.aborted
        if returned and (outcome.insisted or not outcome.stop_seen):
            return outcome
        if self._aborted_with is not None:
            return Outcome(error=self._aborted_with, stop_seen=outcome.stop_seen)
        if self._killed and outcome.error is not None and outcome.error.kind is ErrorKind.WORKER_LOST:
            return Outcome(aborted=True, stop_seen=True)  # the loss was the doing of this escalation
        return outcome

    def close(self) -> None:
        """The run is over."""
        for timer in self._timers:
            timer.cancel()
        if self._timeout is not None:
            self._timeout.cancel()
