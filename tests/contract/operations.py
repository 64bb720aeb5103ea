"""What tests of the store do over and over: submit, claim, report, end; and a clock that they set."""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from headrace_server.domain import requests, running
from headrace_server.domain.change import Change, Outcome
from headrace_server.domain.gate import Gate, Scope
from headrace_server.domain.job import ErrorKind, Job, JobError
from headrace_server.domain.ports.claims import Claimed, ClaimRequest, FreeSlot
from headrace_server.domain.ports.jobs import Page, Submission
from headrace_server.domain.query import Filter, Order
from headrace_server.domain.spec import Spec
from headrace_server.store import SqlStore

INSTANCE = "here"
NOON = 1_800_000_000_000_000
SECOND = 1_000_000

_numbers = itertools.count(1)


class Clock:
    """Microseconds; it stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        """The time."""
        return self.now

    def pass_time(self, seconds: float) -> None:
        """Move on."""
        self.now += int(seconds * SECOND)


def submission(
    kind: str = "t",
    *,
    tenant: str = "default",
    hold: bool = False,
    request_id: str = "",
    digest: str = "as sent",
    parameters: str = "{}",
    **spec: Any,
) -> Submission:
    """A submission of a new job; ids rise, as those of Headrace do."""
    return Submission(
        f"job-{next(_numbers):012d}",
        tenant,
        Spec(kind, **spec),
        hold=hold,
        request_id=request_id,
        digest=digest,
        parameters=parameters,
    )


async def never_asked(*_arguments: object, whole: bool) -> NoReturn:
    """The check of a registry that knows no type: no parameter comes to it."""
    raise AssertionError(whole)


async def submit(store: SqlStore, kind: str = "t", **given: Any) -> Job:
    """A job that was submitted, with these fields of its spec."""
    return (await store.submit(submission(kind, **given))).job.job


async def claim(
    store: SqlStore,
    slots: int = 1,
    *,
    permit: bool = True,
    kinds: Iterable[str] = ("t",),
    queues: Iterable[str] = (),
    without_limits: bool = False,
) -> list[Claimed]:
    """Jobs for so many slots."""
    places = [FreeSlot(f"worker-{number}", permit) for number in range(1, slots + 1)]
    asked = ClaimRequest(INSTANCE, places, frozenset(kinds), frozenset(queues), without_limits=without_limits)
    return await store.claim(asked)


async def set_gate(store: SqlStore, scope: Scope, name: str, **fields: Any) -> Gate:
    """What is said of a queue, a tenant or a type is changed."""
    return await store.change_gate(Gate(scope, name), fields)


async def run(store: SqlStore, **given: Any) -> Job:
    """A job that runs."""
    made = await submit(store, **given)
    claimed = await claim(store, kinds=[made.type])
    assert [taken.job.job_id for taken in claimed] == [made.job_id]
    return claimed[0].job


async def finish(store: SqlStore, job: Job, **outcome: Any) -> Change:
    """Its run ends with this outcome."""
    return await store.apply(
        job.job_id,
        partial(running.finish, claim=job.claim, instance=job.instance, outcome=Outcome(**outcome)),
    )


async def stop(store: SqlStore, job: Job) -> Change:
    """A stop is asked for."""
    return await store.apply(
        job.job_id, partial(requests.request_stop, grace=10 * SECOND, reason="enough", requested_by="me")
    )


async def end(store: SqlStore, **given: Any) -> Job:
    """A job that has ended well."""
    return (await finish(store, await run(store, **given), result='"done"')).job


async def now(store: SqlStore, job: Job) -> Job:
    """The job as it stands."""
    return (await store.get(job.job_id, tenant=job.tenant, payload=False)).job


def page(
    order: Order = Order.CREATE_TIME_ASC, *, tenant: str | None = "default", limit: int = 100, **which: Any
) -> Page:
    """A question for jobs that match `which`."""
    return Page(tenant, Filter(**which), order, limit, after=None, payload=False)


async def found(store: SqlStore, asked: Page) -> list[str]:
    """The ids of a page."""
    return [full.job.job_id for full in await store.find(asked)]


LOST = JobError(ErrorKind.INSTANCE_LOST, "The instance is gone.")
FAULT = JobError(ErrorKind.EXCEPTION, "it broke", type="ValueError", traceback="Traceback …")


def continued(asked: Page, after: tuple[int, str]) -> Page:
    """The page behind this key and id."""
    return replace(asked, after=after)


async def until(fact: Callable[[], bool], limit: float = 30.0) -> None:
    """Wait for a fact of this event loop, for so many seconds at most."""
    async with asyncio.timeout(limit):
        while not fact():  # noqa: ASYNC110 - facts have no event
            await asyncio.sleep(0.005)
