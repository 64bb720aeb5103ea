"""Direct start: a claim in the transaction of a submit, and nobody who is passed over for it.

What the claim takes is checked against planted shortcuts too (support.direct_bugs): each check finds
the one that it is for.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

import pytest
from contract.operations import (
    INSTANCE,
    Clock,
    claim,
    finish,
    now,
    run,
    set_gate,
    submission,
    submit,
)
from contract.test_lease import deaths, here

from headrace_server.domain import requests
from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.gate import Scope
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports.claims import Claimed, ClaimRequest, FreeSlot
from headrace_server.domain.ports.commits import CommitListener
from headrace_server.domain.ports.jobs import Submission
from headrace_server.store import SqlStore
from headrace_server.store.claim.claimer import Claimer
from headrace_server.store.gates import Gates
from headrace_server.store.write import operations
from support.direct_bugs import ForgetsStops, Overtakes, SkipsGates

__all__ = ["deaths", "here"]  # fixtures


def asking(instance: str = INSTANCE) -> ClaimRequest:
    """A claim for one slot that is up."""
    return ClaimRequest(instance, [FreeSlot("worker-1", permit=True)], frozenset({"t"}))


class Along(CommitListener):
    """Has a claim for one slot go along with each submit."""

    def __init__(self, store: SqlStore, instance: str = INSTANCE) -> None:
        self._store = store
        self._request = asking(instance)
        self._answers: list[Awaitable[list[Claimed]]] = []
        store.listeners.append(self)

    def submitting(self, submission: Submission) -> None:  # noqa: ARG002 - with every one
        """Claim."""
        self._answers.append(self._store.claim_along(self._request))

    async def taken(self) -> list[Job]:
        """What all of them have taken."""
        answers, self._answers = self._answers, []
        return [one.job for answer in answers for one in await answer]

    def end(self) -> None:
        """Ask no more."""
        self._store.listeners.remove(self)


def ids(jobs: list[Job]) -> list[str]:
    """Which they are."""
    return [job.job_id for job in jobs]


async def test_a_submit_is_stored_claimed_and_permitted_in_one_commit(
    store: SqlStore, commits: list[list[Change]]
) -> None:
    """The submit is answered with the job as it was made; one commit tells of it and of its run."""
    along = Along(store)
    answer = await store.submit(submission(parameters='{"n":1}'))
    assert (answer.job.job.status, answer.job.job.revision) == (Status.QUEUED, 1)
    [[told]] = commits
    assert [event.status for event in told.events] == [Status.QUEUED, Status.TO_BE_RUN, Status.RUNNING]
    assert await along.taken() == [told.job] == [await now(store, answer.job.job)]
    assert store.waiting == 0
    assert (await finish(store, told.job, result="1")).job.status is Status.SUCCEEDED
    assert await claim(store) == []


async def test_a_submit_without_a_new_job_takes_what_waits(store: SqlStore) -> None:
    """A repeated submit makes no job; the claim that goes along is as good as any other."""
    made = await submit(store, request_id="r")
    along = Along(store)
    again = await store.submit(submission(request_id="r"))
    assert (again.existing, again.job.job.status) == (True, Status.QUEUED)
    assert ids(await along.taken()) == [made.job_id]


async def full_queue(store: SqlStore) -> None:
    """One job runs in a queue where one may; the next one waits, whoever claims."""
    await set_gate(store, Scope.QUEUE, "default", max_running=1)
    await run(store)
    along = Along(store)
    await submit(store)
    assert await along.taken() == []
    assert await claim(store) == []


async def paused_tenant(store: SqlStore) -> None:
    """A job of a tenant that is paused waits."""
    await set_gate(store, Scope.TENANT, "acme", paused=True)
    along = Along(store)
    await submit(store, tenant="acme")
    assert await along.taken() == []


async def older_job(store: SqlStore) -> None:
    """A job that waits already, of the same tenant, comes first."""
    waiting = await submit(store)
    along = Along(store)
    new = await submit(store)
    assert ids(await along.taken()) == [waiting.job_id]
    assert (await now(store, new)).status is Status.QUEUED


async def other_tenant(store: SqlStore) -> None:
    """The tenant whose turn it is comes first, though another is submitting."""
    served = await submit(store, tenant="acme")
    waiting = await submit(store, tenant="birch")
    assert [one.job.job_id for one in await claim(store)] == [served.job_id]
    along = Along(store)
    new = await submit(store, tenant="acme", priority=9)
    assert ids(await along.taken()) == [waiting.job_id]
    assert (await now(store, new)).status is Status.QUEUED


async def stop_in_the_same_batch(store: SqlStore) -> None:
    """A stop that came in the same moment has won, though it came behind the claim."""
    waiting = await submit(store)
    enough = partial(requests.request_stop, grace=0, reason="", requested_by="")
    with store._writer.together():
        made = store._writer.put(operations.Submit(submission(), 10))
        taken = store.claim_along(asking())
        stopped = store._writer.put(operations.Apply(waiting.job_id, enough, None))
    new, claimed, ended = await made, await taken, await stopped
    assert ended.job.status is Status.ABORTED
    assert [one.job.job_id for one in claimed] == [new.job.job.job_id]


Check = Callable[[SqlStore], Awaitable[None]]
CHECKS: list[tuple[Check, type[Claimer]]] = [
    (full_queue, SkipsGates),
    (paused_tenant, SkipsGates),
    (older_job, Overtakes),
    (other_tenant, Overtakes),
    (stop_in_the_same_batch, ForgetsStops),
]


@pytest.mark.parametrize("check", [row[0] for row in CHECKS])
async def test_nobody_is_passed_over(store: SqlStore, check: Check) -> None:
    """Gates, age, priority and turns hold for a claim that goes with a submit."""
    await check(store)


@pytest.mark.parametrize(("check", "bug"), CHECKS)
async def test_a_shortcut_is_found(store: SqlStore, check: Check, bug: type[Claimer]) -> None:
    """A direct start that forgets one of them fails the check of it."""
    store._claimer.__class__ = bug
    with pytest.raises(AssertionError, match="assert"):
        await check(store)


class Broken(Gates):
    """Gates that cannot be read."""

    def read(self, *_: Any) -> NoReturn:
        """Fail."""
        raise ValueError("a gate is broken")


async def test_a_claim_that_fails_harms_no_submit(store: SqlStore) -> None:
    """The submit is stored and answered, and the next claim takes its job."""
    along = Along(store)
    mended, store.gates = store.gates, Broken()
    made = await submit(store)
    with pytest.raises(ValueError, match="broken"):
        await along.taken()
    store.gates = mended
    assert [one.job.job_id for one in await claim(store)] == [made.job_id]


async def test_a_closed_store_takes_neither(url: str, clock: Clock) -> None:
    """A submit to a store that is closed is refused, and so is its claim."""
    store = SqlStore.open(url, durable=False, clock=clock)
    along = Along(store)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await submit(store)
    assert await along.taken() == []


@pytest.mark.only("postgresql")
async def test_a_limit_that_others_wait_for_is_not_held(store: SqlStore) -> None:
    """On a shared database nothing is taken where there is a limit, though there is room; the
    ordinary claim takes it.
    """
    await set_gate(store, Scope.QUEUE, "mail", max_running=5)
    behind = await submit(store, queue="mail")
    along = Along(store)
    free = await submit(store, queue="free")
    assert await along.taken() == []
    along.end()
    assert {one.job.job_id for one in await claim(store, 5)} == {behind.job_id, free.job_id}


@pytest.mark.only("postgresql")
async def test_the_dead_start_nothing_directly(here: SqlStore) -> None:
    """A claim that goes along proves in its transaction that its instance is alive; the submit is
    stored all the same.
    """
    along = Along(here, "dead")
    made = await submit(here)
    assert await along.taken() == []
    assert (await now(here, made)).status is Status.QUEUED
    along.end()
    alive = Along(here, here.instance)
    await submit(here)
    assert ids(await alive.taken()) == [made.job_id]
