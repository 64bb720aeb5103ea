"""The port of whoever carries runs out, and of who is told of them.

    dispatcher ──Executor──> pool of processes (work.pool), or another
               <──ExecutorListener──

A run is one claim of one job, handed to a slot after its start permit is on disk. A slot has one
run at a time, and may have others waiting behind it: it begins them in the order in which they were
handed over, and those that it has not begun can be recalled. Of some types it has several at once:
then all of its runs are of that type, and its end is the loss of each of them. The dispatcher knows
nothing else of how an executor has its runs. In the pool, a slot is a place for one child: when
that ends, another is started.

An executor knows of each run exactly whether it had begun, had finished, or never began. In the
pool, what a child says survives its death in the socket, which is read to its end before the slot
is reported lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from headrace.jobs import RunInfo
from headrace_server.domain.change import Message, Outcome


class RunKey(NamedTuple):
    """One claim of one job."""

    job_id: str
    claim: int


Types = Mapping[str, Sequence[str]]
"""The types that a child has loaded, each with its fingerprint.

See headrace._work.fingerprint; a child of another version may not give it.
"""


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Progress as a job said it: at is the wall clock in microseconds."""

    done: int
    total: int | None
    message: str
    at: int


class ExecutorListener(Protocol):
    """Who is told what happens to runs and slots: the dispatcher.

    Called on the event loop's thread, in order for each slot.
    """

    def slot_ready(
        self, slot: str, types: Types, errors: Mapping[str, str], concurrency: Mapping[str, int]
    ) -> None:
        """Note that the slot's child has loaded the job modules, and waits for these types.

        `errors` says by module why it has not loaded all; `concurrency` how many runs of a type it
        has at once, where that is more than one.
        """
        ...

    def slot_closing(self, slot: str) -> None:
        """Note that the slot's child takes nothing new; what it has begun goes on.

        Then slot_ready or slot_lost follows.
        """
        ...

    def refused(self, slot: str, run: RunKey) -> None:
        """The slot's child has no such type, and has not begun the run."""
        ...

    def begun(self, slot: str, run: RunKey) -> None:
        """The child is about to call the job's code."""
        ...

    def progressed(self, slot: str, run: RunKey, progress: ProgressReport) -> None:
        """The latest progress; reported at a bounded rate, the last before the end always."""
        ...

    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None:
        """Take messages of the job, its captured output included.

        `dropped` counts those thrown away over the limits.
        """
        ...

    def result_set(self, slot: str, run: RunKey, name: str, value: str) -> None:
        """A named result, as the JSON text of a plain value."""
        ...

    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None:
        """Note that the run has ended.

        Its processes are gone, its output was read and its workspace removed.
        """
        ...

    def slot_lost(self, slot: str, begun: Sequence[RunKey], unbegun: Sequence[RunKey], cause: str) -> None:
        """The slot's child is dead, and so is every process below it. Another is being started.

        begun: the runs that were under way. unbegun: runs handed over and never begun. cause: a
        phrase such as "killed by signal 9 (SIGKILL)", "exited with code 3", or why it could not
        start.
        """
        ...


class Executor(Protocol):
    """Whoever carries runs out, as the dispatcher sees it. Its methods wait for nothing."""

    @property
    def slots(self) -> Sequence[str]:
        """The names of the slots, ready or not: worker-1, worker-2 and so on."""
        ...

    def send(self, slot: str, run: RunInfo) -> None:
        """Hand a run to a ready slot. Its permit is on disk."""
        ...

    def recall(self, slot: str) -> Sequence[RunKey]:
        """Take back every run that the slot's child has not begun.

        The kernel gives each run either to the child or to the server.
        """
        ...

    def flag_stop(self, slot: str, run: RunKey, reason: str) -> None:
        """Let the job see that it is to stop.

        It sees ctx.stop_requested, and gets an exception at its next use of ctx.
        """
        ...

    def terminate(self, slot: str, run: RunKey) -> None:
        """SIGTERM to the child. One that has gone on to another run ignores it.

        A run that is not alone in its child is interrupted in another way, and the others are not.
        """
        ...

    def pause(self, slot: str) -> None:
        """Back-pressure: read nothing of what the slot's child says and writes, until resume."""
        ...

    def resume(self, slot: str) -> None:
        """Read again. Harmless when nothing was paused."""
        ...

    def renew(self, slot: str, since: float) -> None:
        """Have a ready slot's child go when it has done what it was handed.

        Then slot_ready or slot_lost follows.

        Its place takes one that was started later than `since`, by the monotonic clock, and so has
        loaded what is there now.
        """
        ...

    def kill(self, slot: str) -> None:
        """SIGKILL of the child and of every process below it; slot_lost follows. Recall first."""
        ...
