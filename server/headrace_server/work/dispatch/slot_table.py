"""Keep the slot table: which run is in which slot, and how it gets from its claim to a child.

    claimed ──> place ──> permit on disk? ──> hand over ──> begun
                  │              │                │
                  └──────────────┴── give up ─────┘   back to the queue at no cost, or ABORTED by a stop

**Backlog.** A child that runs jobs of milliseconds would spend its time waiting for the store, so
types whose history is short get a few runs handed ahead. A run that waited PATIENCE behind another
is recalled and goes to an idle slot, or back to the queue; before a child is signalled, its backlog
is recalled first. One job never delays another.

**Shared children.** A slot with a run of a type with a concurrency has places for more of that
type, and for no other. One child is filled before a second is begun, so that others stay for other
types. A child that takes nothing new (`closing`) keeps what it has begun. One of its runs that does
not end in its grace costs them all: they are told to end too, have a grace of their own, and are
WORKER_LOST when the child is killed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from headrace_server.domain import running
from headrace_server.domain.errors import JobNotFound, StaleClaim, StoreUnavailable
from headrace_server.domain.job import ErrorKind, Job, JobError, Status
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.claims import FreeSlot
from headrace_server.domain.ports.cluster import Liveness
from headrace_server.domain.ports.jobs import JobChanger
from headrace_server.work.dispatch.active_run import ActiveRun
from headrace_server.work.dispatch.run_times import RunTimes
from headrace_server.work.dispatch.stop_escalation import StopEscalation
from headrace_server.work.executor import Executor, RunKey

Groups = Mapping[frozenset[str], Sequence[FreeSlot]]
"""Slots by the types that may be claimed for them."""

log = logging.getLogger(__name__)

WRITES_MAX = 10.0
"""Seconds that a store which is away or full has to come back when the server ends."""

PATIENCE = 0.1
"""Seconds that a run may wait behind another of its slot."""

SHARED_PATIENCE = 5.0
"""Seconds that a run may wait for a child that others share: until then its event loop is busy."""

PLACES = 64
"""Places of one shared child that are filled in one claim: more would hold up other commits."""

SHARED_GRACE = 2.0
"""Seconds that the runs of a child have to end when it is to be killed for another of them."""


class SlotTable:
    """The slots, the runs in them, and which slots have a child that is up."""

    def __init__(
        self, store: JobChanger, executor: Executor, me: Liveness, on_room: Callable[[], None]
    ) -> None:
        """Somebody is told by on_room that there may be a free slot."""
        self.runs: dict[RunKey, ActiveRun] = {}
        self.ready: set[str] = set()
        self.draining = False
        self.suspended = False
        """The lease is lost, and there is no new one yet."""
        self._slots: dict[str, list[ActiveRun]] = {slot: [] for slot in executor.slots}
        self._history = RunTimes()
        self._types: dict[str, frozenset[str]] = {}
        """The types that the child of each slot, or the one before it, may have."""
        self._away: set[str] = set()
        self._last_type: dict[str, str] = {}
        self._store = store
        self._executor = executor
        self._me = me
        self._on_room = on_room
        self._empty = asyncio.Event()
        self.held_back = 0
        """How often a run was held back because it said more than the store could take."""
        self._writes: set[asyncio.Task[None]] = set()
        self._outage = Outage(log, "runs cannot write, trying again", "what runs have said is written again")
        self._unpermitted = Outage(log, "no start permit", "runs are permitted again")
        self._concurrency: dict[str, Mapping[str, int]] = {}
        """By slot, how many runs of a type its child has at once, where that is more than one."""
        self._busy: set[str] = set()
        """Slots whose child has not taken a run for SHARED_PATIENCE, until it does something."""
        self._condemned: set[str] = set()
        """Slots whose child is to be killed for one of its runs; the others have their grace."""

    def closed(self) -> bool:
        """Whether nothing may begin here: at the end of the server, and without a lease."""
        return self.draining or self.suspended or not self._me.valid()

    def slots(self) -> int:
        """How many slots there are."""
        return len(self._slots)

    def free_slots(self, types: frozenset[str]) -> Groups:
        """A slot for each slot that has nothing to do, by those of these types that it has loaded.

        A slot whose child goes, or has fallen before it was up, has one only when no other is up.
        """
        away = self._away if self.ready else ()
        shared = self._shared_slots(types)
        groups = self._grouped(
            types.difference(*shared),
            (
                FreeSlot(slot, permit=slot in self.ready)
                for slot, runs in self._slots.items()
                if not runs and slot not in away
            ),
        )
        return {**groups, **shared} if shared else groups

    def _shared_slots(self, types: frozenset[str]) -> Groups:
        """The places of children that are shared, by the one type of each."""
        groups: dict[frozenset[str], list[FreeSlot]] = {}
        for slot, concurrency in self._concurrency.items():
            if concurrency and (room := self._places(slot)):
                key = frozenset(active.job.type for active in self._slots[slot][:1])
                if key <= types & self._types[slot]:
                    groups.setdefault(key, []).extend([FreeSlot(slot, permit=True)] * min(room, PLACES))
        return groups

    def _places(self, slot: str) -> int:
        """How many runs the child of a slot can have beside those that share it; 0 for a free one."""
        runs = self._slots[slot]
        if not runs or slot not in self.ready or slot in self._busy:
            return 0
        most = self._concurrency.get(slot, {}).get(runs[0].job.type, 1)
        return max(0, most - len(runs))

    def shares(self, active: ActiveRun) -> bool:
        """Whether a run is of a type of which its child has several at once."""
        return active.job.type in self._concurrency.get(active.slot, ())

    def ready_slots(self, types: frozenset[str]) -> Groups:
        """Of the free slots those whose child is up, likewise."""
        groups = self.free_slots(types).items()
        return {kinds: up for kinds, slots in groups if (up := [slot for slot in slots if slot.permit])}

    def backlog_slots(self, types: frozenset[str]) -> Groups:
        """Slots behind runs that are short, for runs that are short, likewise."""
        return self._grouped(types & self._history.short_types(), self._backlog_slots())

    def idle(self, slot: str) -> bool:
        """Whether the slot's child is up and has nothing to do."""
        return slot in self.ready and not self._slots[slot]

    def limit(self, slot: str, types: frozenset[str]) -> None:
        """From now on give the slot's child runs of these types only."""
        self._types[slot] = types
        self._on_room()

    def renew(self, slot: str, since: float) -> None:
        """Have the child of a slot replaced when it has done what it was handed.

        The new child is one that was started later than `since`.
        """
        self.ready.discard(slot)
        self._away.add(slot)
        self._executor.renew(slot, since)

    def _grouped(self, types: frozenset[str], slots: Iterable[FreeSlot]) -> Groups:
        groups: dict[frozenset[str], list[FreeSlot]] = {}
        for slot in slots:
            loaded = self._types.get(slot.worker)
            key = types if loaded is None or types <= loaded else types & loaded
            if key:
                groups.setdefault(key, []).append(slot)
        return groups

    def _backlog_slots(self) -> list[FreeSlot]:
        slots = []
        for slot in self.ready:
            runs = self._slots[slot]
            # What a free slot will run is not known yet: most likely what it ran last.
            types = {active.job.type for active in runs} or {self._last_type.get(slot, "")}
            depth = self._history.depth(types)
            room = depth - max(0, len(runs) - 1)
            # Half a backlog at least: claims of one would cost a commit each.
            if room * 2 > depth:
                slots += [FreeSlot(slot, permit=True)] * room
        return slots

    def place(self, job: Job, parameters: str, slot: str) -> None:
        """Take a claimed job in, and hand it over as soon as its permit is on disk."""
        active = ActiveRun(
            job,
            parameters,
            self._store,
            spawn=self.spawn,
            on_lost=self.replaced,
            hold_back=self._hold_back,
            outage=self._outage,
        )
        active.slot = slot
        active.escalation = StopEscalation(
            active, self._executor, self.clear_backlog, partial(self._kill, active)
        )
        self.runs[active.key] = active
        fits = self._fits(slot, job.type)
        self._slots[slot].append(active)
        if self.closed() or not fits or self._refuses(slot, job.type):
            self.give_up(active)  # or: the slot was free, and was not given what it ran last
        elif job.status is Status.RUNNING:
            self._hand_over(active)
        elif slot in self.ready:
            self.spawn(self._permit(active))

    def _fits(self, slot: str, type_name: str) -> bool:
        """Return whether a slot has a place for a run of a type: beside others, or behind one."""
        head = [other.job.type for other in self._slots[slot][:1]]
        if not head:
            return True
        if type_name in self._concurrency.get(slot, ()):
            return head == [type_name] and self._places(slot) > 0
        return self._history.depth(head) > 0

    def _refuses(self, slot: str, type_name: str) -> bool:
        """Return whether a slot whose child is up may not have this type any more.

        That may have changed while a claim was under way.
        """
        return slot in self.ready and type_name not in self._types[slot]

    def up(
        self, slot: str, types: frozenset[str], concurrency: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Note that a slot's child is up and may have runs of these types.

        concurrency: how many runs of a type it has at once, where that is more than one. What was
        claimed for the slot gets its permit, or is given up.
        """
        self.ready.add(slot)
        self._away.discard(slot)
        self._busy.discard(slot)
        self._condemned.discard(slot)
        self._concurrency[slot] = concurrency
        self._types[slot] = types
        for active in list(self._slots[slot]):
            if active.sent:
                continue
            if active.job.type in types:
                self.spawn(self._permit(active))
            else:
                self.give_up(active)
        self._on_room()

    def closing(self, slot: str) -> None:
        """The slot's child takes nothing new: what it has not begun goes elsewhere."""
        self.ready.discard(slot)
        self._away.add(slot)
        self.clear_backlog(slot)

    def down(self, slot: str) -> None:
        """The slot's child is gone: what was claimed for it and never handed over goes back."""
        self._condemned.discard(slot)
        if slot in self.ready:
            self._away.discard(slot)
        else:  # it has fallen while it was starting
            self._away.add(slot)
        self.ready.discard(slot)
        for active in list(self._slots[slot]):
            if active.job.status is Status.TO_BE_RUN and not active.sent:
                self.give_up(active)

    async def _permit(self, active: ActiveRun) -> None:
        """Commit the start permit of a run whose child has come up, then hand it over."""
        if active.permitting or active.job.status is not Status.TO_BE_RUN:
            return
        active.permitting = True
        try:
            active.learn((await self._store.apply(active.key.job_id, active.permit)).job)
            self._unpermitted.over()
        except (StaleClaim, JobNotFound) as error:
            log.info("no start permit: %s", error, extra=active.about())
            self.leave(active)
            return
        except StoreUnavailable as error:
            self._unpermitted.met(error, **active.about())
            self.give_up(active)
            return
        except Exception:
            log.exception("a start permit failed", extra={"job_id": active.key.job_id})
            self.give_up(active)  # its slot must not stay taken
            return
        if active.key not in self.runs:
            return
        if active.job.status.final:
            self.leave(active)
        elif active.slot in self.ready:
            self._hand_over(active)
        else:  # the child went away while the permit was committed
            self.give_up(active)

    def _hand_over(self, active: ActiveRun) -> None:
        if active.job.stop is not None or self.closed():  # it came between claim and here
            self.give_up(active)
            return
        waits = self._slots[active.slot][0] is not active
        active.sent = True
        self._executor.send(active.slot, active.run())
        if waits:
            patience = SHARED_PATIENCE if self.shares(active) else PATIENCE
            asyncio.get_running_loop().call_later(patience, self._lose_patience, active)

    def _lose_patience(self, active: ActiveRun) -> None:
        if active.key in self.runs and not active.begun:
            if self.shares(active):
                self._busy.add(active.slot)
            self.clear_backlog(active.slot)

    def began(self, active: ActiveRun) -> None:
        """A run has begun: its child takes what it is handed."""
        self._busy.discard(active.slot)

    def clear_backlog(self, slot: str) -> None:
        """Recall what the slot's child has not begun.

        Each run goes to an idle slot, or back to the queue.
        """
        for key in self._executor.recall(slot):
            active = self.runs.get(key)
            if active is None:
                continue
            active.sent = False
            idle = next((name for name in self.ready if self._may_take(name, active)), None)
            if idle is None or self.closed() or active.lost or active.job.stop is not None:
                self.give_up(active)
            else:
                self._slots[slot].remove(active)
                active.slot = idle
                self._slots[idle].append(active)
                self._hand_over(active)

    def _may_take(self, slot: str, active: ActiveRun) -> bool:
        return not self._slots[slot] and active.job.type in self._types[slot]

    def clear_all(self) -> None:
        """Give up everything that has not begun."""
        for slot in self._slots:
            self.clear_backlog(slot)
        for active in list(self.runs.values()):
            if not active.sent and active.job.status is Status.TO_BE_RUN:
                self.give_up(active)

    def give_up(self, active: ActiveRun) -> None:
        """A claim, or a permit, that was not used."""
        active.write(active.bound(running.return_permit))
        self.leave(active)

    def ended(self, active: ActiveRun) -> None:
        """A run has come to its end by itself: remember how long it took."""
        if self.shares(active):
            return  # nothing waits behind it
        self._history.add(active.job.type, active.seconds())
        self._last_type[active.slot] = active.job.type

    def leave(self, active: ActiveRun) -> None:
        """The run has no slot any more; what it has said is still written."""
        active.close()
        self.runs.pop(active.key, None)
        runs = self._slots[active.slot]
        if active in runs:
            runs.remove(active)
        self._busy.discard(active.slot)
        self._kill_condemned(active.slot)
        if not self.runs:
            self._empty.set()
        self._on_room()

    def replaced(self, active: ActiveRun, error: object) -> None:
        """End a run whose claim holds the job no longer.

        The job is held by another claim now, or it is gone.
        """
        log.warning("run replaced: %s", error, extra=active.about())
        if active.key not in self.runs:
            return  # its code has ended: only what it said last was refused
        active.lost = True
        if active.sent:
            self.clear_backlog(active.slot)
        if active.begun and self._beside(active):
            error = JobError(ErrorKind.INSTANCE_LOST, "The claim of the run holds the job no longer.")
            active.escalation.abort_by_server(error, SHARED_GRACE)
        elif active.begun:
            self._executor.kill(active.slot)
        elif not active.sent and active.key in self.runs:
            self.leave(active)

    def _kill(self, active: ActiveRun) -> None:
        """Kill the child of a run that did not end in its grace.

        Others that it shares the child with have a grace before that.
        """
        slot, others = active.slot, self._beside(active)
        if not others or slot in self._condemned:
            self._executor.kill(slot)
            return
        self._condemned.add(slot)
        self.ready.discard(slot)
        self._away.add(slot)
        names = ", ".join(other.key.job_id for other in others)
        log.warning(
            "a job did not end in its grace: its worker is killed in %g s, with other jobs in it: %s",
            SHARED_GRACE,
            names,
            extra=active.about(),
        )
        error = JobError(
            ErrorKind.WORKER_LOST,
            f"The worker process was ended for the job {active.key.job_id}, which shared it and did not stop.",
        )
        for other in others:
            other.escalation.abort_by_server(error, SHARED_GRACE)

    def _beside(self, active: ActiveRun) -> list[ActiveRun]:
        """The runs that have begun in the same child as this one."""
        return [other for other in self._slots[active.slot] if other.begun and other is not active]

    def _kill_condemned(self, slot: str) -> None:
        """Kill a child for the one run that is left in it, where that has had its grace."""
        if slot in self._condemned and len(runs := self._slots[slot]) == 1 and runs[0].escalation.killing:
            self._executor.kill(slot)

    def _hold_back(self, active: ActiveRun, held: bool) -> None:
        if held:
            self.held_back += 1
            self._executor.pause(active.slot)
        else:
            self._executor.resume(active.slot)

    async def emptied(self) -> None:
        """Wait until no run is left."""
        while self.runs:
            self._empty.clear()
            await self._empty.wait()

    async def written(self) -> None:
        """Wait until what runs have said is on disk, and was handed to the watchers.

        A store that takes nothing for WRITES_MAX does not keep the server from ending: what it did
        not take is given up, and the next start settles those runs as lost.
        """
        if not self._writes:
            return
        _, left = await asyncio.wait(self._writes, timeout=WRITES_MAX)
        for task in left:
            task.cancel()
        if left:
            log.error(
                "the ends of %d runs could not be stored: the next start counts them as lost", len(left)
            )
            await asyncio.wait(left)

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Carry this out; the server does not end before it has."""
        task = asyncio.create_task(coroutine)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
