"""The dispatcher: what runs next, and how it ends.

    wake ──> slots? ──> store.claim ──> slot_table.place ──> … ──> begun ──> … ──> finished ──> store
      ▲        (a free slot; or the short backlog of one)                          │
      └────────────────────────────────────────────────────────────────────────────┘

A claim for a slot whose child is up takes claim and start permit in one transaction; one for a slot
that is still starting is TO_BE_RUN, and gets its permit when the child is ready. A run is handed
over only after its permit was committed.

**Direct start.** While a slot whose child is up is free, and no claim is under way or due, a submit
takes a claim along (submitting): the same claim in the transaction of the submit. Slots are never
asked for twice, for one claim is under way at a time; whatever it does not fill is free again when
it is answered. Where it fails an ordinary claim follows.

**Endings.** `stop` is a caller's wish (the escalation is in work/dispatch/stop_escalation.py);
`abort_by_server` is the server's: a timeout or a drain, with the error that the attempt gets. What
a lost child had begun is WORKER_LOST, what it had not goes back to the queue at no cost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from headrace_server.domain import running
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.event import Event
from headrace_server.domain.for_each import singly
from headrace_server.domain.job import ErrorKind, Job, JobError, Progress, Status
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.claims import Claimed, ClaimRequest, ClaimStore
from headrace_server.domain.ports.cluster import Liveness
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.ports.jobs import Submission
from headrace_server.work.catalog.worker_types import WorkerTypes
from headrace_server.work.dispatch.active_run import ActiveRun, RunSettings
from headrace_server.work.dispatch.slot_table import WRITES_MAX, SlotTable
from headrace_server.work.executor import Executor, ProgressReport, RunKey, Types

log = logging.getLogger(__name__)

POLL = 1.0
"""Seconds: the safety net beside every wake-up."""

PIECE = 64
"""Messages of a run in one write."""


class Dispatcher(CommitListener):
    """Claims jobs for the slots of an executor and follows their runs.

    Listens to the executor and to the store's commits.
    """

    slot_table: SlotTable

    def __init__(
        self,
        store: ClaimStore,
        *,
        me: Liveness,
        types: Callable[[], frozenset[str]],
        queues: frozenset[str] = frozenset(),
        settings: RunSettings,
        on_progress: Callable[[Job, Progress], None],
        on_stale: Callable[[Collection[str]], None],
        workers: WorkerTypes,
    ) -> None:
        """Take the store, what may be claimed, and the listeners.

        Before each claim, `types` is asked which types may be started now. Only jobs of `queues`
        are claimed; empty means all.

        on_progress is told the latest progress of every running job; on_stale, which jobs that run
        here others have changed: `catch_up` is to be called with their rows, or `gone`. workers is
        told what each slot has loaded.
        """
        self._store = store
        self._me = me
        self._types = types
        self._queues = queues
        self._settings = settings
        self._on_progress = on_progress
        self._on_stale = on_stale
        self._workers = workers
        self._wake = asyncio.Event()
        self._unplaced: dict[str, Job] = {}
        self._overheard: set[str] = set()
        self._claiming = False
        """Whether a claim is under way: its slots are spoken for."""
        self._direct: asyncio.Task[None] | None = None
        """The claim under way that goes with a submit."""
        self._more = False
        self._tasks: list[asyncio.Task[None]] = []
        self._finished = 0
        self._outage = Outage(log, "cannot claim", "jobs are claimed again")

    # Life.

    def attach(self, executor: Executor) -> None:
        """Use this executor. Before it starts: it tells of its slots at once."""
        self.slot_table = SlotTable(self._store, executor, self._me, self._wake.set)
        self._workers.attach(self.slot_table)

    def start(self) -> None:
        """Begin to claim."""
        self._tasks = [asyncio.create_task(self._claim_loop())]
        self._wake.set()

    async def drain(self, seconds: float, *, hurry: asyncio.Event) -> None:
        """Claim no more, give back what has not begun, and let runs end, then end them.

        Runs have `seconds` to end by themselves, or until `hurry` is set.
        """
        slot_table = self.slot_table
        slot_table.draining = True
        self._workers.close()
        self._wake.set()
        # A claim that is under way is waited for: what it brings goes back, and was not lost with
        # this instance.
        await asyncio.wait(self._claims(), timeout=WRITES_MAX)
        slot_table.clear_all()
        hurried = asyncio.create_task(hurry.wait())
        emptied = asyncio.create_task(slot_table.emptied())
        await asyncio.wait((hurried, emptied), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        error = JobError(ErrorKind.INSTANCE_DRAINED, "The server shut down before the job had ended.")
        for active in list(slot_table.runs.values()):
            log.info("ending a job at the end of the drain time", extra=active.about())
            active.escalation.abort_by_server(error, self._settings.abort_grace)
        await emptied
        await slot_table.written()

    async def evict(self) -> None:
        """Recall what has not begun, and kill the rest.

        This instance is not alive any more, and others take its runs over.

        Returns when no code of a job runs here; `resume` lets runs begin again. What the runs have
        said is still written, where nobody has taken them over yet.
        """
        slot_table = self.slot_table
        slot_table.suspended = True
        slot_table.clear_all()
        error = JobError(ErrorKind.INSTANCE_LOST, "The instance had lost its lease while the job ran.")
        for active in list(slot_table.runs.values()):
            log.warning("killing a job: the lease of this instance is lost", extra=active.about())
            active.escalation.abort_by_server(error, 0)
        await slot_table.emptied()

    def fence(self) -> float | None:
        """Return when, by CLOCK_BOOTTIME, what runs here has to be dead.

        Returns None when nothing can run. It may be called from any thread.
        """
        slot_table = self.slot_table
        return None if slot_table.suspended and not slot_table.runs else self._me.fence()

    def resume(self) -> None:
        """A new life has begun."""
        self.slot_table.suspended = False
        self._wake.set()

    async def close(self) -> None:
        """Stop the loops; what runs have said is written."""
        claims = self._claims()
        for task in claims:
            task.cancel()
        await asyncio.gather(*claims, return_exceptions=True)
        await self.slot_table.written()

    def counters(self) -> Mapping[str, int]:
        """Gauges and counters for GetServerInfo."""
        return {
            "slots": self.slot_table.slots(),
            "slots_ready": len(self.slot_table.ready),
            "runs": len(self.slot_table.runs),
            "runs_finished_total": self._finished,
            "runs_held_back_total": self.slot_table.held_back,
        }

    # Claims.

    def _claims(self) -> list[asyncio.Task[None]]:
        """What claims, or has a claim under way."""
        return [*self._tasks, *filter(None, (self._direct,))]

    async def _claim_loop(self) -> None:
        while not self.slot_table.draining:
            woken = True
            try:
                async with asyncio.timeout(POLL):
                    await self._wake.wait()
            except TimeoutError:
                woken = False  # the net: it asks the database, whatever is known here
            self._wake.clear()
            if woken and self._store.nothing_waits:
                self._more = False
                continue
            try:
                await self._claim()
            except StoreUnavailable as error:
                self._outage.met(error)
            except Exception:
                # A defect of one claim must not end them all.
                log.exception("a claim failed, trying again")

    async def _claim(self) -> None:
        """Claim for free slots and, while more is ready than those take, for backlogs.

        The two share a commit.
        """
        if self._direct is not None:
            await asyncio.wait((self._direct,))
        if self.slot_table.closed():
            return
        asked = self._requests()
        self._claiming = True
        try:
            answers = await asyncio.gather(*map(self._store.claim, asked), return_exceptions=True)
        finally:
            self._claiming = False
        self._answered(asked, answers)

    def submitting(self, submission: Submission) -> None:
        """Claim in the transaction of a submit, where a child could begin at once."""
        asked = self._direct_request(submission)
        if asked is not None:
            answer = self._store.claim_along(asked)
            self._claiming = True
            self._direct = asyncio.create_task(self._claim_along(asked, answer))

    def _direct_request(self, submission: Submission) -> ClaimRequest | None:
        """A claim for all slots that are free and up, if one may run this job and no claim is due.

        Where more waits than was taken last, and where a claim is about to be made, that claim asks
        for backlogs too.
        """
        spec, slot_table = submission.spec, self.slot_table
        due = self._claiming or self._more or self._wake.is_set() or not self._tasks
        if due or submission.hold or spec.run_after is not None or slot_table.closed():
            return None
        if self._queues and spec.queue not in self._queues:
            return None
        for types, slots in slot_table.ready_slots(self._types()).items():
            if spec.type in types:
                return ClaimRequest(self._me.instance, slots, types, self._queues)
        return None

    async def _claim_along(self, asked: ClaimRequest, answer: Awaitable[list[Claimed]]) -> None:
        claimed: list[Claimed] = []
        try:
            claimed = await answer
        except Exception as error:  # noqa: BLE001 - whatever it is, the ordinary claim says it
            log.info("no direct start: %s", error)
            self._wake.set()
        finally:
            self._claiming = False
            self._direct = None
        self._answered([asked], [claimed])

    def _answered(
        self, asked: Sequence[ClaimRequest], answers: Sequence[Sequence[Claimed] | BaseException]
    ) -> None:
        """Place what was claimed; claim again where all slots were filled."""
        full: dict[bool, bool] = {}
        for request, claimed in zip(asked, answers, strict=True):
            if isinstance(claimed, BaseException):
                continue
            if claimed:
                self._outage.over()
            self._place(claimed)
            if self._overheard.intersection(one.job.job_id for one in claimed):
                self._on_stale(frozenset(self._overheard))
            behind = request.without_limits
            full[behind] = full.get(behind, False) or len(claimed) == len(request.slots)
        if full:
            self._more = full[max(full)]
        if any(full.values()):
            self._wake.set()
        self._unplaced.clear()
        self._overheard.clear()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _place(self, claimed: Sequence[Claimed]) -> None:
        for one in claimed:
            job = self._unplaced.pop(one.job.job_id, one.job)
            if not job.status.final:
                self.slot_table.place(job, one.parameters, one.slot.worker)

    def _requests(self) -> list[ClaimRequest]:
        """A claim for each set of types that some slots have loaded."""
        slot_table, startable = self.slot_table, self._types()
        return [
            ClaimRequest(self._me.instance, slots, types, self._queues, without_limits=behind)
            for behind, groups in (
                (False, slot_table.free_slots(startable)),
                (True, slot_table.backlog_slots(startable) if self._more else {}),
            )
            for types, slots in groups.items()
        ]

    def wake(self) -> None:
        """More may be claimed than before: claim at once."""
        self._wake.set()

    # Commits.

    def opened(self) -> None:
        """More may be claimed than before."""
        self.wake()

    def committed(self, changes: Sequence[Change]) -> None:
        """The store has committed these: wake for what can run, carry out stops."""
        singly(changes, self._committed, log=log, failed="a commit was not followed")

    def _committed(self, change: Change) -> None:
        job = change.job
        if job.ready:
            self._wake.set()
        active = self.slot_table.runs.get(RunKey(job.job_id, job.claim))
        if active is not None:
            self._follow(active, job)
        elif self._claiming and job.claim and job.instance == self._me.instance:
            self._unplaced[job.job_id] = job

    def overheard(self, events: Sequence[Event]) -> None:
        """Follow events of other instances.

        Wake for what may run, and have what runs here looked at again.
        """
        mine = {key.job_id for key in self.slot_table.runs}
        changed = set()
        for event in events:
            if event.status is Status.QUEUED:
                self._wake.set()
            if event.job_id in mine:
                changed.add(event.job_id)
            elif self._claiming:
                self._overheard.add(event.job_id)
        if changed:
            self._on_stale(changed)

    def known(self) -> Mapping[str, int]:
        """The jobs that run here, with the revisions that are known of them."""
        return {active.key.job_id: active.job.revision for active in self.slot_table.runs.values()}

    def catch_up(self, job: Job) -> None:
        """Follow a job's row as it stands by now.

        A stop from elsewhere is carried out, and a run that was replaced is ended.
        """
        for active in self._runs_of(job.job_id):
            if job.revision <= active.job.revision:
                continue
            if running.holds(job, active.key.claim, active.job.instance):
                self._follow(active, job)
            else:
                self.slot_table.replaced(active, "another instance has taken it over")

    def gone(self, job_id: str) -> None:
        """The row of a job that runs here is gone: nothing that the run says can be kept."""
        for active in self._runs_of(job_id):
            self.slot_table.replaced(active, "it was deleted")

    def _runs_of(self, job_id: str) -> list[ActiveRun]:
        return [active for active in self.slot_table.runs.values() if active.key.job_id == job_id]

    def _follow(self, active: ActiveRun, job: Job) -> None:
        if not active.learn(job):
            return
        if job.status.final and not active.sent:
            self.slot_table.leave(active)  # stopped or expired before it was handed over
        elif job.stop is not None and not job.status.final:
            if active.sent and not active.begun:
                self.slot_table.clear_backlog(active.slot)
            if active.key in self.slot_table.runs and active.sent:
                active.escalation.stop(job.stop)

    # What the executor says.

    def slot_ready(
        self, slot: str, types: Types, errors: Mapping[str, str], concurrency: Mapping[str, int]
    ) -> None:
        """A child is up."""
        self.slot_table.up(slot, self._workers.heard(slot, types, errors), concurrency)

    def slot_closing(self, slot: str) -> None:
        """A child takes nothing new."""
        self.slot_table.closing(slot)

    def refused(self, slot: str, run: RunKey) -> None:  # noqa: ARG002
        """The child has no such type: the permit goes back."""
        active = self.slot_table.runs.get(run)
        if active is not None:
            self.slot_table.give_up(active)

    def begun(self, slot: str, run: RunKey) -> None:  # noqa: ARG002 - the run knows its slot
        """The job's code is about to be called."""
        active = self.slot_table.runs.get(run)
        if active is not None:
            active.begin()
            self.slot_table.began(active)
            active.escalation.begun()

    def progressed(self, slot: str, run: RunKey, progress: ProgressReport) -> None:  # noqa: ARG002
        """Shown at once, stored at most once per update interval."""
        active = self.slot_table.runs.get(run)
        if active is not None:
            latest = active.progressed(progress, self._settings.progress_interval)
            self._on_progress(active.job, latest)

    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None:  # noqa: ARG002
        """Messages go to the log."""
        active = self.slot_table.runs.get(run)
        if active is None:
            return
        # In pieces: a thousand lines that were read at once are not to keep everybody's commit
        # waiting.
        for first in range(0, max(1, len(messages)), PIECE):
            active.log(
                messages[first : first + PIECE],
                self._settings.messages_per_attempt,
                0 if first else dropped,
            )

    def result_set(self, slot: str, run: RunKey, name: str, value: str) -> None:  # noqa: ARG002
        """A named result goes to the store."""
        active = self.slot_table.runs.get(run)
        if active is not None:
            active.set_result(name, value)

    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None:  # noqa: ARG002
        """The run has ended by itself: its slot is free."""
        active = self.slot_table.runs.get(run)
        if active is not None:
            self.slot_table.ended(active)
            self._end(active, active.escalation.interpret(outcome))

    def slot_lost(self, slot: str, begun: Sequence[RunKey], unbegun: Sequence[RunKey], cause: str) -> None:
        """A child is dead, with everything below it."""
        slot_table = self.slot_table
        level = logging.INFO if slot_table.draining else logging.WARNING
        lost = [slot_table.runs[key] for key in begun if key in slot_table.runs]
        for about in [active.about() for active in lost] or [{"worker": slot}]:
            log.log(level, "worker lost: %s", cause, extra=about)
        for key in unbegun:
            if key in slot_table.runs:
                slot_table.give_up(slot_table.runs[key])
        error = JobError(ErrorKind.WORKER_LOST, f"The worker process was {cause}.")
        for active in lost:
            self._end(active, active.escalation.interpret(Outcome(error=error)))
        if slot not in slot_table.ready and not slot_table.draining:
            self._workers.fell(slot)
        slot_table.down(slot)

    def _end(self, active: ActiveRun, outcome: Outcome) -> None:
        active.end(outcome)
        self._finished += 1
        self.slot_table.leave(active)
