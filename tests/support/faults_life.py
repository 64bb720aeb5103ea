"""A life in which the store does each kind of its work, step by step, always the same.

Times, ids and batches are fixed, so two lives leave the same rows and have told the same. A step
that failed as a whole can be done again.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

from headrace_server.domain import change, requests, running
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.job import ErrorKind, JobError, Progress, StopPhase
from headrace_server.domain.ports.claims import ClaimRequest, FreeSlot
from headrace_server.domain.ports.jobs import Page, Submission
from headrace_server.domain.query import Filter, Group, Order
from headrace_server.domain.retention import Retention
from headrace_server.domain.spec import RetryPolicy, Spec
from headrace_server.store import SqlStore
from support.listeners import Recorder

HERE = "here"
START = 1_800_000_000_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND
BROKE = JobError(ErrorKind.EXCEPTION, "it broke", type="ValueError")
LOST = JobError(ErrorKind.INSTANCE_LOST, "The instance is gone.")
AGAIN = RetryPolicy(max_attempts=2, initial_backoff=0)

Answers = list[Any]
Step = Callable[["Life"], Awaitable[Answers]]


@contextmanager
def at_once() -> Iterator[None]:
    """What is put into the store's queue within shares one batch: no other thread has its turn
    meanwhile.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


class Life:
    """One life of one store, by one clock. Told is what the store has told of its commits."""

    def __init__(self, store: SqlStore, clock: "Clock") -> None:
        self.store = store
        self.clock = clock
        self.told: list[Change] = []
        self._copies: list[Change] = []
        store.listeners.append(Recorder(committed=self._hear))

    def _hear(self, changes: Sequence[Change]) -> None:
        self.told.extend(changes)
        self._copies.extend(map(deepcopy, changes))

    def told_is_as_it_was(self) -> bool:
        """Whether the jobs and events that were told, which runs and watchers hold, are still what
        they were when they were told.
        """
        return self.told == self._copies

    async def batch(self, *asked: Awaitable[Any]) -> Answers:
        """Ask for all of it in one batch; refusals are answers too."""
        with at_once():
            return await asyncio.gather(*asked, return_exceptions=True)

    def submit(
        self, name: str, *, request_id: str = "", hold: bool = False, parameters: str = "{}", **spec: Any
    ) -> Awaitable[Any]:
        """Submit a job whose id is this name."""
        asked = Submission(
            name,
            "default",
            Spec("t", **spec),
            hold=hold,
            request_id=request_id,
            digest="d",
            parameters=parameters,
        )
        return self.store.submit(asked)

    def apply(self, name: str, *decisions: Any) -> Awaitable[Change]:
        """Change a job."""
        return self.store.apply(name, change.chain(decisions))

    def claim(self, *permits: bool) -> Awaitable[Any]:
        """Claim for so many slots."""
        slots = [FreeSlot(f"w{number}", permit) for number, permit in enumerate(permits)]
        return self.store.claim(ClaimRequest(HERE, slots, frozenset({"t"})))


class Clock:
    """It stands still but for what a step says."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        """The time."""
        return self.now


def fence(claim: int) -> dict[str, Any]:
    """What a run names with each of its writes."""
    return {"claim": claim, "instance": HERE}


def of_run(decide: Any, claim: int = 1, **more: Any) -> Any:
    """A write of a run."""
    return partial(decide, **fence(claim), **more)


def update(etag: str = "", **fields: Any) -> Any:
    """A caller's update."""
    return partial(requests.update, fields=fields, etag=etag)


STOP = partial(requests.request_stop, grace=10 * SECOND, reason="enough", requested_by="me")
FAILED = of_run(running.finish, outcome=Outcome(error=BROKE))


async def submits(life: Life) -> Answers:
    """Jobs: with a request_id, held, waiting for their time, about to expire."""
    return await life.batch(
        life.submit("a", request_id="r-a", retry=AGAIN, parameters='{"x": 1}'),
        life.submit("b", request_id="r-b", hold=True),
        life.submit("c", run_after=START + SECOND, labels={"k": "v"}),
        life.submit("d", hold=True, expire_time=START + SECOND),
        life.submit("e"),
    )


async def repeats(life: Life) -> Answers:
    """The same request_id again, beside a change of its job; and another body."""
    reused = Submission("z", "default", Spec("t"), hold=False, request_id="r-a", digest="other")
    return await life.batch(
        life.apply("a", update(description="mine")),
        life.submit("z", request_id="r-a"),
        life.store.submit(reused),
    )


async def changes(life: Life) -> Answers:
    """Releases and updates, some of them refused."""
    return await life.batch(
        life.apply("b", requests.release),
        life.apply("e", update(etag="v1", priority=5)),
        life.apply("e", update(etag="v1", priority=6)),
        life.apply("nowhere", requests.release),
        life.store.delete("a", tenant="default"),
    )


async def claims(life: Life) -> Answers:
    """A claim with its permit, and one without."""
    return await life.batch(life.claim(True, False))


async def permits(life: Life) -> Answers:
    """The other's permit; a permit of a claim that nobody has."""
    return await life.batch(
        life.apply("a", of_run(running.permit, worker="w1")),
        life.apply("e", of_run(running.permit, claim=9, worker="w0")),
    )


async def reports(life: Life) -> Answers:
    """Messages, results and progress of a run, as its writer sends them: together."""
    messages = [Message(2, 1, "one"), Message(2, 1, "two"), Message(2, 1, "three")]
    return await life.batch(
        life.apply(
            "a",
            of_run(running.log, messages=messages, limit=2),
            of_run(running.set_result, name="rows", value="1"),
            of_run(running.set_result, name="rows", value="2"),
            of_run(running.progress, latest=Progress(1, 2, "half", START)),
        )
    )


async def failure(life: Life) -> Answers:
    """A run fails, and its job is tried again."""
    return await life.batch(life.apply("a", FAILED))


async def stops(life: Life) -> Answers:
    """A stop of a run and one of a job that waits, beside a claim: the stop wins."""
    return await life.batch(
        life.apply("e", STOP),
        life.apply("e", of_run(running.stop_phase, phase=StopPhase.DELIVERED)),
        life.claim(True, True),
        life.apply("b", STOP),
    )


async def ends(life: Life) -> Answers:
    """The stopped run ends; the second attempt returns."""
    return await life.batch(
        life.apply("e", of_run(running.finish, outcome=Outcome(stop_seen=True))),
        life.apply("a", of_run(running.finish, claim=2, outcome=Outcome(result='"done"'))),
    )


async def timers(life: Life) -> Answers:
    """One job has waited long enough, another too long."""
    life.clock.now = START + SECOND
    return await life.batch(life.store.run_timers())


async def arrives(life: Life) -> Answers:
    """One more job."""
    return await life.batch(life.submit("f", retry=AGAIN))


async def claims_both(life: Life) -> Answers:
    """The job that had waited is claimed, the new one begun."""
    return await life.batch(life.claim(False, True))


async def gives_back(life: Life) -> Answers:
    """The claim and the permit come back unused."""
    give = of_run(running.return_permit)
    return await life.batch(life.apply("c", give), life.apply("f", give))


async def claims_again(life: Life) -> Answers:
    """Both are taken once more."""
    return await life.batch(life.claim(True, False))


async def recovery(life: Life) -> Answers:
    """Their instance is gone."""
    return await life.batch(life.store.recover(LOST, confirmed=True))


async def deletes(life: Life) -> Answers:
    """Jobs that have ended go, beside new ones, a claim and timers."""
    return await life.batch(
        life.store.delete("a", tenant="default"),
        life.submit("g", request_id="r-g"),
        life.apply("d", update(locked=True)),
        life.submit("z", request_id="r-a"),
        life.store.run_timers(),
        life.claim(True),
        life.store.delete("b", tenant="default"),
        life.store.delete("d", tenant="default"),
    )


async def sweeps(life: Life) -> Answers:
    """What ended long ago goes, beside a purge and a new job."""
    life.clock.now = START + DAY
    return await life.batch(
        life.store.sweep(Retention(None, None, SECOND), None),
        life.store.purge(["d", "c"], tenant="default"),
        life.submit("h", request_id="r-h"),
    )


async def reads(life: Life) -> Answers:
    """A job with its payload, a history, a list, counts."""
    page = Page("default", Filter(), Order.CREATE_TIME_ASC, 9, after=None, payload=True)
    return [
        await life.store.get("d", tenant="default", payload=True),
        await life.store.events("c", after=0, limit=99),
        await life.store.find(page),
        await life.store.count("default", Filter(), [Group.STATUS]),
    ]


WRITES: tuple[Step, ...] = (
    submits,
    repeats,
    changes,
    claims,
    permits,
    reports,
    failure,
    stops,
    ends,
    timers,
    arrives,
    claims_both,
    gives_back,
    claims_again,
    recovery,
    deletes,
    sweeps,
)
