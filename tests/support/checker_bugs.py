"""The product with one part replaced by one that breaks a promise: what the checker must find.

    python -m support.checker_bugs AnswersFirst serve

Each class is a bug that the design forbids, planted as app.py plugs parts in. Nothing else differs.
"""

import asyncio
import json
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from sqlalchemy import Connection, text

from headrace_server.control.watch.hub import Subscription
from headrace_server.domain import requests, running
from headrace_server.domain.capacity import Held
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import Event
from headrace_server.domain.gate import Gate
from headrace_server.domain.job import ErrorKind, Job, JobError, Status
from headrace_server.domain.lease import OwnLease
from headrace_server.domain.ports.claims import Claimed, ClaimRequest
from headrace_server.domain.ports.jobs import Submission, Submitted
from headrace_server.domain.query import FullJob, Payload
from headrace_server.store import gates
from headrace_server.store.cluster import heartbeat
from headrace_server.store.read import tail
from headrace_server.store.store import SqlStore, wall_clock
from headrace_server.store.write import unit_of_work, writer, writers
from headrace_server.work.dispatch.active_run import ActiveRun
from headrace_server.work.dispatch.slot_table import Groups, SlotTable
from headrace_server.work.executor import Executor, RunKey
from support.phases import Doomed, DoomedDispatcher, DoomedStore, Phase, chosen, reach, serve


class Planted(Doomed):
    """A server with a bug."""

    def __init__(self, folder: Path, bug: str, **settings: object) -> None:
        super().__init__(folder, command=(sys.executable, "-m", "support.checker_bugs", bug), **settings)


# What runs in the server


class AnswersFirst(DoomedStore):
    """An answer before COMMIT: a submit is written together with the next one."""

    _behind: Submission | None = None

    async def submit(self, submission: Submission) -> Submitted:
        """Answer, and write what was answered before."""
        before, self._behind = self._behind, submission
        if before is not None:
            await super().submit(before)
        spec = submission.spec
        made = requests.create(submission.job_id, submission.tenant, spec, wall_clock(), hold=submission.hold)
        return Submitted(FullJob(made.job, Payload(submission.parameters, None, {})), existing=False)


class ForgetsRequests(DoomedStore):
    """A repeated request_id makes another job."""

    async def submit(self, submission: Submission) -> Submitted:
        """Submit without it."""
        return await super().submit(replace(submission, request_id=""))


class _LateLedger(unit_of_work.UnitOfWork):
    """Keeps the events for later."""

    late: ClassVar[list[Change]] = []

    def _flush_events(self, changes: list[Change]) -> None:
        self.late += changes


class _LateWriter(writer.Writer):
    """Writes the rows, and the events in a transaction of their own."""

    def _commit(self, batch: list[Any]) -> None:
        super()._commit(batch)
        with self._engine.begin() as connection:
            _die_at_an_end(connection)
            late = unit_of_work.UnitOfWork(connection, number=self._number, seq=self._seq, now=0, waiting=0)
            late._flush_events(_LateLedger.late)
            _LateLedger.late.clear()
            self._seq = late.seq


def _die_at_an_end(connection: Connection) -> None:
    phase, description = chosen()
    if phase is Phase.ENDED:
        driver: Any = connection.connection.dbapi_connection
        found = driver.execute("SELECT status FROM job WHERE description = ?", (description,)).fetchone()
        if found is not None and Status(found[0]).final:
            reach(phase, description)


class LateEvents(SqlStore):
    """An event in another transaction than its row."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        """Open the database with a writer that takes two transactions."""
        writer.UnitOfWork = _LateLedger  # type: ignore[attr-defined] # the bug
        writers.Writer = _LateWriter  # type: ignore[attr-defined] # the bug
        return super().open(url, **options)


class RewritesEnds(DoomedDispatcher):
    """An end that changes: with each job that ends, the one that ended before it has ended now."""

    _before = ""

    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None:
        """Write the end of the job before, then that of this one."""
        if self._before:
            self._rewriting = asyncio.create_task(self._store.apply(self._before, _end_now))
        self._before = run.job_id
        super().finished(slot, run, outcome)


def _end_now(job: Job, now: int) -> Change:
    return Change(replace(job, end_time=now))


class AbortsFirst(DoomedDispatcher):
    """ABORTED before the end of the run is confirmed."""

    def _follow(self, active: ActiveRun, job: Job) -> None:
        if job.stop is not None and active.sent and not job.status.final:
            active.job = job
            self._end(active, Outcome(aborted=True, stop_seen=True))
        else:
            super()._follow(active, job)


class RequeuesFirst(DoomedDispatcher):
    """A job queued again without its old child killed: a timeout ends the attempt, and nobody tells
    the child.
    """

    def begun(self, slot: str, run: RunKey) -> None:  # noqa: ARG002 - the run knows its slot
        """Let the attempt end by its timeout."""
        active = self.slot_table.runs.get(run)
        if active is not None:
            active.begin()
            if active.job.timeout is not None:
                asyncio.get_running_loop().call_later(active.job.timeout / 1e6, self._time_out, active)

    def _time_out(self, active: ActiveRun) -> None:
        outcome = Outcome(error=JobError(ErrorKind.TIMED_OUT, "It ran too long."))
        active.write(
            partial(running.finish, claim=active.key.claim, instance=active.job.instance, outcome=outcome)
        )


class _HastySeating(SlotTable):
    """Hands a run over before its permit."""

    def free_slots(self, types: frozenset[str]) -> Groups:
        """No permit comes with a claim."""
        return {
            kinds: [replace(slot, permit=False) for slot in slots]
            for kinds, slots in super().free_slots(types).items()
        }

    def backlog_slots(self, types: frozenset[str]) -> Groups:  # noqa: ARG002
        """None."""
        return {}

    async def _permit(self, active: ActiveRun) -> None:
        if not active.sent:
            active.job = replace(active.job, attempt=active.job.attempt + 1)
            self._hand_over(active)


class StartsFirst(DoomedDispatcher):
    """RUNNING committed after the start: with the first thing that the job's code says."""

    def attach(self, executor: Executor) -> None:
        """Use this executor."""
        self.slot_table = _HastySeating(self._store, executor, self._me, self._wake.set)

    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None:
        """The job's code has said something."""
        active = self.slot_table.runs.get(run)
        if active is not None and active.job.status is Status.TO_BE_RUN:
            active.write(active.permit)
        super().logged(slot, run, messages, dropped)


class NoFence(DoomedStore):
    """A write that names no claim: whoever believes that he runs a job may write for it."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        """Open the database, and let everything pass."""
        running._fence = lambda *_: None
        return super().open(url, **options)


class _OneSeq(tail.Cursor):
    """What was numbered before the last that was seen is taken for seen, whoever wrote it."""

    def read(self, connection: Connection) -> list[Event]:
        """What is new by one number for all."""
        events = super().read(connection)
        others = [number for number in self._seqs if self._seqs[number] != tail._EVER]
        last = max((self._seqs[number] for number in others), default=0)
        self._seqs.update(dict.fromkeys(others, last))
        return events


def _trust(subscription: Subscription, revision: int) -> list[Event] | None:
    return [event for event in subscription.topic.events if event.revision > revision] or None


class OneSeq(DoomedStore):
    """A tail by one number, and watches that show what it brings: the product's read the log where
    they see a gap.
    """

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        """Open the database, follow it so."""
        tail.Cursor = _OneSeq  # type: ignore[misc] # the bug
        Subscription.events_after = _trust  # type: ignore[method-assign] # the bug
        return super().open(url, **options)


class _Eternal(OwnLease):
    """A lease that ends when its holder says so."""

    def answered(self, sent: float) -> None:
        """It would have been valid without."""
        self.deadline = sent + 1e6

    def end(self) -> None:
        """Not so."""


class NeverLost(DoomedStore):
    """An instance that goes on when its lease is over."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        """Open the database."""
        heartbeat.OwnLease = _Eternal  # type: ignore[attr-defined] # the bug
        return super().open(url, **options)


_COUNTED = text(
    "SELECT gate.gate, (SELECT json_agg(json_build_array(queue, type, tenant, owner)) FROM job WHERE status IN (3, 4)) "
    "FROM gate WHERE gate = ANY (ARRAY(SELECT json_array_elements_text(CAST(:keys AS json)))) FOR UPDATE OF gate"
)


class CountingGates(gates.Gates):
    """What runs is counted by the statement that waits for a gate, as it was before the wait."""

    def hold(
        self, connection: Connection, gates: Collection[Gate]
    ) -> tuple[Collection[Gate], Iterable[Held]]:
        """Lock and count in one breath."""
        found = connection.execute(_COUNTED, {"keys": json.dumps([one.key for one in gates])}).all()
        return gates, [tuple(held) for _, running in found[:1] for held in running or ()]


class FailsDirectly(DoomedStore):
    """No bug but a fault: every claim that goes with a submit fails, after it was asked for."""

    async def claim_along(self, request: ClaimRequest) -> list[Claimed]:  # noqa: ARG002 - it fails
        """Fail."""
        raise StoreUnavailable("The batch was lost.")


class CountsInTheLock(DoomedStore):
    """A limit that is counted as it was before the gate was held."""

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        """Open the database, with other gates."""
        made = super().open(url, **options)
        made.gates = CountingGates()
        return made


BUGS: dict[str, dict[str, Any]] = {
    "AnswersFirst": {"store": AnswersFirst},
    "ForgetsRequests": {"store": ForgetsRequests},
    "LateEvents": {"store": LateEvents},
    "RewritesEnds": {"dispatcher": RewritesEnds},
    "AbortsFirst": {"dispatcher": AbortsFirst},
    "RequeuesFirst": {"dispatcher": RequeuesFirst},
    "StartsFirst": {"dispatcher": StartsFirst},
    "NoFence": {"store": NoFence},
    "OneSeq": {"store": OneSeq},
    "NeverLost": {"store": NeverLost},
    "CountsInTheLock": {"store": CountsInTheLock},
    "FailsDirectly": {"store": FailsDirectly},
}

if __name__ == "__main__":
    serve(**BUGS[sys.argv.pop(1)])
