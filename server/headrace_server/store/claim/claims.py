"""Claims: tenants in turn, and of each tenant the best that may be run here and now.

`ready` holds what may be claimed in lanes, one for each (queue, type, tenant), each in order of
priority, then age:

    mail · resize · acme     -5 09:00 │ 0 08:10 │ 0 08:11 …   acme:  resize -5, report 0, resize 0 ─┐  in rounds,
    mail · report · acme      0 08:00 │ 0 08:30 …                                                   ├─ as many from each
    mail · resize · birch     0 07:59 │ …                     birch: resize 0, … ───────────────────┘  tenant as it weighs

A claim skips from kind to kind (a queue and a type) and from tenant to tenant by seeks (the next
that is greater), takes the heads of the lanes of as many tenants as it has slots, and chooses. What
it costs depends on slots, on kinds and on how many runs are at a limit, never on how much is
queued: no statement here sorts or counts the queue, and jobs of kinds that are not run here are not
even met.

Gates (see gates) close lanes. One that is paused, or full, is left out before its jobs are looked
at. Where owners have limits the best of a lane are looked at first; when owners at their limit are
before all others there, the lane is seen owner by owner, at one seek for each that is full, however
many jobs he has. With more than OWNERS others in a lane it is then the best of the next OWNERS of
them: in turn, so that each is met.

The turn goes on behind the tenant that was served last. It is kept in memory: after a restart it
begins anew.
"""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from typing import Final, NamedTuple

from headrace_server.domain import running
from headrace_server.domain.capacity import Capacity
from headrace_server.domain.gate import Gate, ReadyKey, Scope
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports.claims import Claimed, ClaimRequest, FreeSlot
from headrace_server.store import gates
from headrace_server.store.claim import candidates
from headrace_server.store.claim.candidates import Candidate, Kind
from headrace_server.store.cluster import instances
from headrace_server.store.gates import Gates
from headrace_server.store.tables.payloads import read_parameters
from headrace_server.store.write.operations import Phase, WriteOperation
from headrace_server.store.write.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)

PASSED_FOR: Final = 60_000_000
"""Microseconds for which a job that could not be claimed is passed over."""


@dataclass(slots=True)
class Turn:
    """The tenant whose turn it is.

    It is `last` while that tenant has places left in its round, and then the tenant after it.
    """

    last: str = ""
    remaining: int = 0
    owners: dict[ReadyKey, str] = field(default_factory=dict)
    """The owner to go on with in lanes that have too many to look at each."""
    passed: dict[str, int] = field(default_factory=dict)
    """Jobs that could not be claimed, and when: they are passed over for a while."""

    def served(self, tenant: str, weight: int) -> None:
        """A tenant has had a place."""
        self.remaining = (self.remaining if tenant == self.last and self.remaining else weight) - 1
        self.last = tenant


class Taken(NamedTuple):
    """The jobs that a claim took; there may be more to take.

    busy: behind a gate that another claim holds just now. full: behind one that has no room, or
    none for an owner; looked for only where slots were left.
    """

    claimed: list[Claimed]
    busy: bool
    full: bool


@dataclass(frozen=True, slots=True)
class Claim(WriteOperation[Taken]):
    """Fill slots with ready jobs."""

    phase = Phase.CLAIM
    request: ClaimRequest
    turn: Turn
    gates: Gates
    prove: bool
    """Whether the instance must prove that it is alive, so that a dead one takes nothing."""
    limits: bool = True
    """Whether gates may be held, and waited for; else nothing is taken where there is a limit.

    A batch that others wait for holds none. It has locked jobs already, and gates come before jobs.
    """
    tried: list[str] = field(default_factory=list)
    """The ids of the jobs that were being taken last.

    When the database refuses some of them, a claim for one slot tells which.
    """

    def apply(self, unit: UnitOfWork) -> Taken:
        """Answer the jobs taken, in the order of the slots."""
        if self.prove and not instances.proved(unit.connection, self.request.instance):
            return Taken([], busy=False, full=False)
        if not gates.share(unit.connection, wait=self.limits):
            return Taken([], busy=True, full=False)
        claimed: list[Claimed] = []
        free = deque(self.request.slots)
        robin = Round(unit, self.request, self.turn, self.gates, limits=self.limits)
        # A second round is rare: a tenant had less than its share, a job expired at its permit, or
        # cannot be claimed.
        while free and ((chosen := robin.take(len(free))) or robin.passed_over()):
            if robin.met_limit:
                break
            parameters = read_parameters(unit.connection, [head.job_id for head in chosen])
            for head in chosen:
                slot = free[0]
                taken = self._take(unit, head.job_id, slot)
                if taken is None or head.job_id not in parameters:
                    robin.pass_over(head)
                    continue
                claimed.append(Claimed(taken, parameters[head.job_id], slot))
                self.turn.served(taken.tenant, robin.room.weight(Scope.TENANT.key(taken.tenant)))
                if taken.status is Status.FAILED:
                    robin.room.release(head.lane, head.owner)
                else:
                    free.popleft()
            self.tried[:] = [head.job_id for head in chosen]
            unit.flush()
        return Taken(claimed, robin.busy, full=bool(free) and robin.room.full)

    def _take(self, unit: UnitOfWork, job_id: str, slot: FreeSlot) -> Job | None:
        """Return the job in its slot, or None for a job at which that fails.

        Such a job keeps no other from being claimed.
        """
        who = {"instance": self.request.instance, "worker": slot.worker}
        try:
            decide = running.take if slot.permit else running.claim
            change = decide(unit.job(job_id), unit.now, **who)
        except Exception:
            logger.exception("A job could not be claimed", extra={"job_id": job_id})
            return None
        return unit.fold(change).job


class Round:
    """Which jobs a claim takes."""

    def __init__(
        self, unit: UnitOfWork, request: ClaimRequest, turn: Turn, held: Gates, *, limits: bool
    ) -> None:
        self.room = Capacity()
        self.busy = False
        self.met_limit = False
        """Whether there is a limit, which may not be held: whoever is behind it may come first."""
        self._limits = limits
        self._unit = unit
        self._connection = unit.connection
        self._request = request
        self._turn = turn
        self._gates = held
        self._known: set[str] = set()
        self._passed_over = False
        recent = unit.now - PASSED_FOR
        turn.passed = {job_id: at for job_id, at in turn.passed.items() if at > recent}

    def pass_over(self, head: Candidate) -> None:
        """This job cannot be claimed: leave it where it is, and look behind it."""
        self._turn.passed[head.job_id] = self._unit.now
        self._passed_over = True
        self.room.release(head.lane, head.owner)

    def passed_over(self) -> bool:
        """Whether any was passed over since this was asked."""
        passed, self._passed_over = self._passed_over, False
        return passed

    def take(self, slots: int) -> list[Candidate]:
        """Lock the jobs for so many slots, as many of each tenant in a round as it weighs.

        There are fewer when fewer are ready.

        One that another is changing just now is left to him: its stop, or its expiry, wins.
        """
        kinds = self._kinds()
        wanted = slots
        chosen: list[Candidate] = []
        all_met = not kinds
        while not chosen and not all_met:
            tenants, all_met = self._tenants(kinds, wanted)
            chosen = self._round(kinds, tenants, slots)
            wanted *= 2  # None of these may take anything: look further.
        self._unit.load([head.job_id for head in chosen], free=True)
        taken: list[Candidate] = []
        for head in chosen:
            found = self._unit.jobs.get(head.job_id)
            if found is not None and found.illegible:
                self.pass_over(head)
            elif found is not None and found.ready:
                taken.append(head)
            else:
                self.room.release(head.lane, head.owner)
        return taken

    def _kinds(self) -> list[Kind]:
        """The kinds that are run here, are ready and are let through."""
        queues, types = self._request.queues, self._request.types
        found = [
            (queue, kind)
            for queue, kind in candidates.kinds(self._connection)
            if kind in types and (not queues or queue in queues)
        ]
        keys = [(Scope.QUEUE.key(queue), Scope.TYPE.key(kind)) for queue, kind in found]
        self._admit({key for pair in keys for key in pair})
        return [kind for kind, pair in zip(found, keys, strict=True) if all(map(self.room.open, pair))]

    def _tenants(self, kinds: list[Kind], wanted: int) -> tuple[list[str], bool]:
        """So many tenants whose turn it is and who are let through, and whether these are all."""
        limit = wanted
        while True:
            met = candidates.tenants(self._connection, kinds, last=self._turn.last, limit=limit)
            if self._turn.remaining:
                met = [self._turn.last, *(tenant for tenant in met if tenant != self._turn.last)]
            self._admit({Scope.TENANT.key(tenant) for tenant in met})
            let_through = [tenant for tenant in met if self.room.open(Scope.TENANT.key(tenant))]
            if len(met) < limit or len(let_through) >= wanted:
                return let_through, len(met) < limit
            limit *= 2

    def _admit(self, keys: set[str]) -> None:
        """Learn what is said of these gates, and hold those that have a limit."""
        new = keys - self._known
        if not new:
            return
        self._known |= new
        said = self._gates.read(self._connection, new)
        limited: list[Gate] = []
        for gate in said:
            self.room.weigh(gate)
            if gate.paused or (gate.limited and self._request.without_limits):
                self.room.close(gate.key)
            elif gate.limited:
                limited.append(gate)
        if limited and not self._limits:
            self.met_limit = True
        elif limited:
            mine, held = self._gates.hold(self._connection, limited)
            self.room.bound(mine, held)
            for gate in limited:
                if gate not in mine:
                    self.busy = True
                    self.room.close(gate.key)

    def _round(self, kinds: list[Kind], tenants: list[str], slots: int) -> list[Candidate]:
        """Fill the slots, round by round."""
        weights = {tenant: self.room.weight(Scope.TENANT.key(tenant)) for tenant in tenants}
        rounds = -(-slots // max(1, sum(weights.values())))
        shares = {
            tenant: _Share(self._best(kinds, tenant, min(slots, rounds * weight)), rounds * weight)
            for tenant, weight in weights.items()
        }
        chosen: list[Candidate] = []
        quota = {**weights, self._turn.last: self._turn.remaining or weights.get(self._turn.last, 1)}
        while shares:
            for tenant, share in list(shares.items()):
                for _ in range(quota[tenant]):
                    if len(chosen) == slots:
                        return chosen
                    head = share.next(self.room)
                    if head is None:
                        del shares[tenant]
                        break
                    chosen.append(head)
            quota = weights
        return chosen

    def _best(self, kinds: list[Kind], tenant: str, depth: int) -> Iterator[Candidate]:
        """The first jobs of a tenant over all its lanes, for which there is room in their lane."""
        found = []
        for queue, kind in kinds:
            lane = ReadyKey(queue, kind, tenant)
            limit = min(depth, self.room.remaining(lane))
            if limit and self.room.counts_owners(lane):
                found.append(self._best_of_owners(lane, limit))
            elif limit:
                heads = candidates.heads(self._connection, lane, limit + len(self._turn.passed))
                found.append(self._not_passed(heads)[:limit])
        return merge(*found)

    def _not_passed(self, heads: list[Candidate]) -> list[Candidate]:
        return [head for head in heads if head.job_id not in self._turn.passed]

    def _best_of_owners(self, lane: ReadyKey, depth: int) -> list[Candidate]:
        """The first jobs of a lane whose owners have room."""
        look = depth + candidates.OWNERS
        all_seen = candidates.seen(self._connection, lane, look)
        seen = self._not_passed(all_seen)
        free = [seen[place] for place in self.room.fitting(lane, [head.owner for head in seen])]
        if len(free) >= depth or len(all_seen) < look:
            return free[:depth]
        look = candidates.OWNERS + self.room.full_owners(lane)
        begin = self._turn.owners.pop(lane, "")
        while True:
            met = candidates.of_owners(self._connection, lane, begin=begin, limit=look)
            free = [head for head in self._not_passed(met) if self.room.remaining_of(lane, head.owner)]
            if len(met) == look:
                self._turn.owners[lane] = met[-1].owner
            if free or not begin:
                return sorted(free)[:depth]
            begin = ""


class _Share:
    """The jobs that may be chosen from one tenant."""

    def __init__(self, best: Iterator[Candidate], most: int) -> None:
        self._best = best
        self._remaining = most

    def next(self, room: Capacity) -> Candidate | None:
        """The best for which there is room, and that takes it up."""
        if not self._remaining:
            return None
        self._remaining -= 1
        return next((head for head in self._best if room.take(head.lane, head.owner)), None)
