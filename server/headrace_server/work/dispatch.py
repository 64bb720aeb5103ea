"""The dispatcher: what runs next, where, and how it ends.

    wake ──> seats? ──> store.claim ──> place ──> pool.send ──> begun ──> … ──> finished ──> store
      ▲        (a free slot; or the short backlog of one)                          │
      └────────────────────────────────────────────────────────────────────────────┘

A claim for a slot whose child is up takes claim and start permit in one transaction; one for a slot that is still
starting is TO_BE_RUN, and gets its permit when the child is ready. A run is handed over only after its permit was
committed.

**Backlog.** A child that runs jobs of milliseconds would spend its time waiting for the store, so types whose
history is short get a few runs handed ahead. A run that waited BACKLOG_PATIENCE behind another is recalled and
goes elsewhere; before a child is signalled, its backlog is recalled first. One job never delays another.

**Endings.** `stop` is a caller's wish (the ladder is in work/ladder.py); `cut` is the server's: a timeout or a
drain, with the error that the attempt gets. What a lost child had begun is WORKER_LOST, what it had not goes back
to the queue at no cost.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial

from headrace_server.domain import running
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.errors import JobNotFound, Replaced, StoreUnavailable
from headrace_server.domain.job import ErrorKind, Job, JobError, Progress, Status
from headrace_server.domain.ports import Claimed, ClaimRequest, Seat, Store
from headrace_server.work.contract import PoolPort, ProgressReport, RunKey
from headrace_server.work.history import History
from headrace_server.work.ladder import Ladder
from headrace_server.work.running import Active, RunSettings
from headrace_server.work.timers import Timers

log = logging.getLogger(__name__)

POLL = 1.0
"""Seconds: the safety net beside every wake-up."""
BACKLOG_PATIENCE = 0.1
"""Seconds that a run may wait behind another of its slot."""


class Dispatcher:
    """Claims jobs for the slots of the pool and follows their runs. Listens to the pool and to the store's commits."""

    def __init__(
        self,
        store: Store,
        *,
        instance: str,
        types: frozenset[str],
        settings: RunSettings,
        on_progress: Callable[[str, Progress], None],
    ) -> None:
        """on_progress is told the latest progress of every running job, by job id."""
        self._store = store
        self._instance = instance
        self._types = types
        self._settings = settings
        self._on_progress = on_progress
        self._pool: PoolPort | None = None
        self._runs: dict[RunKey, Active] = {}
        self._slots: dict[str, list[Active]] = {}
        self._ready: set[str] = set()
        self._history = History()
        self._last_type: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._timers = Timers(store, POLL)
        self._unplaced: dict[str, Job] = {}
        self._claiming = False
        self._draining = False
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writes: set[asyncio.Task[None]] = set()
        self._finished = 0

    # Life.

    def start(self, pool: PoolPort) -> None:
        """Begin to claim."""
        self._pool = pool
        for slot in pool.slots:
            self._slots.setdefault(slot, [])
        self._tasks = [asyncio.create_task(self._claim_loop()), asyncio.create_task(self._timers.run())]
        self._wake.set()

    async def drain(self, seconds: float, *, hurry: asyncio.Event) -> None:
        """Claim no more, give back what has not begun, let runs end for `seconds` or until hurry, then end them."""
        self._draining = True
        for slot in self._slots:
            self._clear_backlog(slot)
        for active in list(self._runs.values()):
            if not active.sent and active.job.status is Status.TO_BE_RUN:
                self._give_back(active)
        hurried = asyncio.create_task(hurry.wait())
        settled = asyncio.create_task(self._settled())
        await asyncio.wait((hurried, settled), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        error = JobError(ErrorKind.INSTANCE_DRAINED, "The server shut down before the job had ended.")
        for active in list(self._runs.values()):
            log.info("ending a job at the end of the drain time", extra={"job_id": active.key.job_id})
            active.ladder.cut(error, self._settings.cut_grace)
        await settled
        await self._written()

    async def _settled(self) -> None:
        while self._runs:
            self._idle.clear()
            await self._idle.wait()

    async def close(self) -> None:
        """Stop the loops; what runs have said is written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._written()

    async def _written(self) -> None:
        """What runs have said is on disk, and was told to those who watch."""
        await asyncio.gather(*self._writes)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def counters(self) -> Mapping[str, int]:
        """Gauges and counters for GetServerInfo."""
        return {
            "slots": len(self._slots),
            "slots_ready": len(self._ready),
            "runs": len(self._runs),
            "runs_finished_total": self._finished,
        }

    # Claims.

    async def _claim_loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(POLL):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._claim()
            except StoreUnavailable as error:
                log.warning("cannot claim: %s", error)

    async def _claim(self) -> None:
        """Claim for free slots and for backlogs at once: the two share a commit."""
        if self._draining:
            return
        asked = [
            ClaimRequest(self._instance, seats, types)
            for seats, types in (
                (self._free_seats(), self._types),
                (self._backlog_seats(), self._history.short_types()),
            )
            if seats and types
        ]
        self._claiming = True
        try:
            answers = await asyncio.gather(*map(self._store.claim, asked), return_exceptions=True)
        finally:
            self._claiming = False
        for request, claimed in zip(asked, answers, strict=True):
            if isinstance(claimed, BaseException):
                continue
            for one in claimed:
                self._place(one)
            if len(claimed) == len(request.seats):
                self._wake.set()
        self._unplaced.clear()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _free_seats(self) -> list[Seat]:
        return [Seat(slot, permit=slot in self._ready) for slot, runs in self._slots.items() if not runs]

    def _backlog_seats(self) -> list[Seat]:
        seats = []
        for slot in self._ready:
            runs = self._slots[slot]
            # What a free slot will run is not known yet: most likely what it ran last.
            types = [active.job.type for active in runs] or [self._last_type.get(slot, "")]
            depth = self._history.depth(types)
            room = depth - max(0, len(runs) - 1)
            # Half a backlog at least: claims of one would cost a commit each.
            if room * 2 > depth:
                seats += [Seat(slot, permit=True)] * room
        return seats

    def _place(self, claimed: Claimed) -> None:
        job = self._unplaced.pop(claimed.job.job_id, claimed.job)
        if job.status.final:
            return
        active = Active(
            job, claimed.parameters, self._store, self._instance, spawn=self._spawn, on_lost=self._lost_claim
        )
        active.slot = claimed.seat.worker
        active.ladder = Ladder(active, self.pool, self._clear_backlog)
        self._runs[active.key] = active
        ahead = [other.job.type for other in self._slots[active.slot]]
        self._slots[active.slot].append(active)
        if self._draining:
            self._give_back(active)
        elif ahead and not self._history.depth(ahead):
            self._return(active)  # the slot was free, and was not given what it ran last
        elif job.status is Status.RUNNING:
            self._hand_over(active)
        elif active.slot in self._ready:
            self._spawn(self._permit(active))

    async def _permit(self, active: Active) -> None:
        """Commit the start permit of a run whose child has come up, then hand it over."""
        if active.permitting or active.job.status is not Status.TO_BE_RUN:
            return
        active.permitting = True
        try:
            active.job = (await self._store.apply(active.key.job_id, active.permit)).job
        except (Replaced, JobNotFound, StoreUnavailable) as error:
            log.info("no start permit: %s", error, extra={"job_id": active.key.job_id})
            self._forget(active)
            return
        if active.key not in self._runs:
            return
        if active.job.status.final:
            self._forget(active)
        elif active.slot in self._ready and not self._draining:
            self._hand_over(active)
        else:  # the child went away while the permit was committed
            self._return(active)

    def _hand_over(self, active: Active) -> None:
        if active.job.stop is not None:  # it came between claim and here
            self._return(active)
            return
        waits = self._slots[active.slot][0] is not active
        active.sent = True
        self.pool.send(active.slot, active.run())
        if waits:
            loop = asyncio.get_running_loop()
            loop.call_later(BACKLOG_PATIENCE, self._check_patience, active)

    def _check_patience(self, active: Active) -> None:
        if active.key in self._runs and not active.begun:
            self._clear_backlog(active.slot)

    def _clear_backlog(self, slot: str) -> None:
        """Recall what the slot's child has not begun; each goes to an idle slot, or back to the queue."""
        for key in self.pool.recall(slot):
            active = self._runs.get(key)
            if active is None:
                continue
            active.sent = False
            idle = next((name for name in self._ready if not self._slots[name]), None)
            if idle is None or self._draining or active.job.stop is not None:
                self._return(active)
            else:
                self._slots[slot].remove(active)
                active.slot = idle
                self._slots[idle].append(active)
                self._hand_over(active)

    def _return(self, active: Active) -> None:
        """A permit that was not used."""
        active.write(partial(running.return_permit, claim=active.key.claim, instance=self._instance))
        self._forget(active)

    def _give_back(self, active: Active) -> None:
        """A claim without a permit."""
        active.write(partial(running.give_back, claim=active.key.claim, instance=self._instance))
        self._forget(active)

    def _forget(self, active: Active) -> None:
        active.ladder.close()
        active.close()
        self._runs.pop(active.key, None)
        runs = self._slots[active.slot]
        if active in runs:
            runs.remove(active)
        if not self._runs:
            self._idle.set()
        self._wake.set()

    def _lost_claim(self, active: Active, error: Exception) -> None:
        """A write of the run hit nothing: somebody else holds the job now, or it is gone."""
        if active.key not in self._runs:
            return
        log.warning("run replaced: %s", error, extra={"job_id": active.key.job_id})
        if active.begun:
            self._clear_backlog(active.slot)
            self.pool.kill(active.slot)
        elif not active.sent:
            self._forget(active)

    @property
    def pool(self) -> PoolPort:
        """The pool; there is one between start and the end."""
        if self._pool is None:
            raise AssertionError("the dispatcher was not started")
        return self._pool

    # Commits.

    def committed(self, changes: Iterable[Change]) -> None:
        """The store has committed these: wake for what can run, carry out stops."""
        for item in changes:
            job = item.job
            if job.ready:
                self._wake.set()
            self._timers.note(job)
            if job.instance != self._instance or not job.claim:
                continue
            active = self._runs.get(RunKey(job.job_id, job.claim))
            if active is not None:
                self._follow(active, job)
            elif self._claiming:
                self._unplaced[job.job_id] = job

    def _follow(self, active: Active, job: Job) -> None:
        active.job = job
        if job.status.final and not active.sent:
            self._forget(active)  # stopped or expired before it was handed over
        elif job.stop is not None and not job.status.final:
            if active.sent and not active.begun:
                self._clear_backlog(active.slot)
            if active.key in self._runs and active.sent:
                active.ladder.stop(job.stop)

    # What the pool says.

    def slot_ready(self, slot: str) -> None:
        """A child is up: permit what was claimed for it."""
        self._ready.add(slot)
        for active in self._slots.setdefault(slot, []):
            if not active.sent:
                self._spawn(self._permit(active))
        self._wake.set()

    def begun(self, slot: str, run: RunKey) -> None:  # noqa: ARG002 - the run knows its slot
        """The job's code is about to be called."""
        active = self._runs.get(run)
        if active is not None:
            active.begin()
            active.ladder.begun()

    def progressed(self, slot: str, run: RunKey, progress: ProgressReport) -> None:  # noqa: ARG002
        """Shown at once, stored at most once per update interval."""
        active = self._runs.get(run)
        if active is not None:
            self._on_progress(run.job_id, active.progressed(progress, self._settings.progress_interval))

    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None:  # noqa: ARG002
        """Messages go to the log."""
        active = self._runs.get(run)
        if active is not None:
            active.write(
                partial(
                    running.log,
                    claim=run.claim,
                    instance=self._instance,
                    messages=messages,
                    limit=self._settings.messages_per_attempt,
                    dropped=dropped,
                )
            )

    def result_set(self, slot: str, run: RunKey, name: str, value: str) -> None:  # noqa: ARG002
        """A named result goes to the store."""
        active = self._runs.get(run)
        if active is not None:
            active.write(
                partial(running.set_result, claim=run.claim, instance=self._instance, name=name, value=value)
            )

    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None:
        """The run has ended by itself: its slot is free."""
        active = self._runs.get(run)
        if active is not None:
            self._history.add(active.job.type, active.seconds())
            self._last_type[slot] = active.job.type
            self._end(active, active.ladder.judge(outcome))

    def slot_lost(self, slot: str, begun: RunKey | None, unbegun: Sequence[RunKey], cause: str) -> None:
        """A child is dead, with everything below it."""
        self._ready.discard(slot)
        for key in unbegun:
            if key in self._runs:
                self._return(self._runs[key])
        active = self._runs.get(begun) if begun is not None else None
        if active is not None:
            error = JobError(ErrorKind.WORKER_LOST, f"The worker process was {cause}.")
            self._end(active, active.ladder.judge(Outcome(error=error)))
        for waiting in list(self._slots.get(slot, ())):
            # Claimed for a child that did not come up: the pool refuses them.
            if waiting.job.status is Status.TO_BE_RUN and not waiting.sent:
                self._give_back(waiting)
        log.warning(
            "worker lost: %s", cause, extra={"worker": slot, "job_id": begun.job_id if begun else None}
        )

    def _end(self, active: Active, outcome: Outcome) -> None:
        active.flush_progress()
        active.write(
            partial(running.finish, claim=active.key.claim, instance=self._instance, outcome=outcome)
        )
        self._finished += 1
        self._forget(active)
