"""Claims: exactly one claimant, tenants in turn, priority, age, and a stop that wins."""

import asyncio
import threading
from collections import Counter
from functools import partial
from typing import Any

from contract.operations import INSTANCE, NOON, SECOND, Clock, claim, finish, now, run, stop, submit

from headrace_server.domain import requests, running
from headrace_server.domain.change import Change
from headrace_server.domain.job import ErrorKind, Job, JobError, Status
from headrace_server.domain.ports.claims import Claimed, ClaimRequest, FreeSlot
from headrace_server.domain.spec import RetryPolicy
from headrace_server.store import SqlStore


def ids(claimed: list[Claimed]) -> list[str]:
    """The jobs taken."""
    return [taken.job.job_id for taken in claimed]


async def test_a_claim_takes_a_job_for_a_seat(store: SqlStore) -> None:
    """A claimed job is TO_BE_RUN, names its instance and worker, has a new claim number, and comes
    with parameters.
    """
    made = await submit(store, parameters='{"n":1}')
    [taken] = await store.claim(
        ClaimRequest(INSTANCE, [FreeSlot("worker-7", permit=False)], frozenset({"t"}))
    )
    assert taken.job == await now(store, made)
    assert (taken.job.status, taken.job.claim, taken.job.attempt) == (Status.TO_BE_RUN, 1, 0)
    assert (taken.job.instance, taken.job.worker) == (INSTANCE, "worker-7")
    assert taken.parameters == '{"n":1}'
    assert taken.slot == FreeSlot("worker-7", permit=False)


async def test_claim_and_permit_share_a_commit(store: SqlStore, commits: list[Any]) -> None:
    """For a slot whose child can begin at once the job is RUNNING, claimed and permitted in one
    transaction.
    """
    made = await submit(store)
    commits.clear()
    [taken] = await claim(store, permit=True)
    assert (taken.job.status, taken.job.attempt) == (Status.RUNNING, 1)
    [[told]] = commits
    assert told.job == taken.job == await now(store, made)
    assert [event.status for event in told.events] == [Status.TO_BE_RUN, Status.RUNNING]


async def test_only_loaded_types_are_claimed(store: SqlStore) -> None:
    """Jobs of types that the instance does not run stay queued, even in front of those that it
    runs.
    """
    await submit(store, kind="other", priority=9)
    wanted = await submit(store, kind="t")
    assert ids(await claim(store, 5, kinds=["t", "unseen"])) == [wanted.job_id]
    assert await claim(store, 5, kinds=["t"]) == []


async def test_priority_then_age(store: SqlStore, clock: Clock) -> None:
    """Within a tenant the higher priority goes first, and within a priority the job released first,
    over all types.
    """
    given = [("t", 0), ("u", 5), ("t", 0), ("t", 5), ("u", -1)]
    made = []
    for kind, priority in given:
        made.append(await submit(store, kind=kind, priority=priority))
        clock.pass_time(1)
    taken = await claim(store, 9, kinds=["t", "u"])
    assert ids(taken) == [made[place].job_id for place in (1, 3, 0, 2, 4)]


async def test_age_counts_from_the_release(store: SqlStore, clock: Clock) -> None:
    """A job that was held takes its place at its release; one that is tried again keeps its first
    place.
    """
    held = await submit(store, hold=True)
    clock.pass_time(1)
    retried = await run(store, retry=RetryPolicy(max_attempts=2, initial_backoff=0))
    clock.pass_time(1)
    later = await submit(store)
    clock.pass_time(1)
    await store.apply(held.job_id, requests.release)
    await finish(store, retried, error=JobError(ErrorKind.EXCEPTION, "again"))
    assert ids(await claim(store, 3)) == [retried.job_id, later.job_id, held.job_id]


async def test_a_changed_priority_counts(store: SqlStore) -> None:
    """A queued job whose priority is raised moves ahead."""
    first, second = await submit(store), await submit(store)
    await store.apply(second.job_id, partial(requests.update, fields={"priority": 1}, etag=""))
    assert ids(await claim(store, 2)) == [second.job_id, first.job_id]


async def test_tenants_in_turn(store: SqlStore) -> None:
    """A tenant with a long queue takes one slot in a round, whatever its priorities."""
    for tenant, jobs in (("big", 20), ("mid", 3), ("small", 1)):
        for _ in range(jobs):
            await submit(store, tenant=tenant, priority=99 if tenant == "big" else 0)
    taken = await claim(store, 8)
    assert [one.job.tenant for one in taken] == ["big", "mid", "small", "big", "mid", "big", "mid", "big"]


async def test_the_turn_goes_on_with_the_next_claim(store: SqlStore) -> None:
    """Claims of one slot each visit the tenants in turn, and come round again."""
    for tenant in ("a", "b", "c"):
        for _ in range(3):
            await submit(store, tenant=tenant)
    tenants = [(await claim(store))[0].job.tenant for _ in range(9)]
    assert tenants == ["a", "b", "c"] * 3


async def test_seats_are_filled_from_what_there_is(store: SqlStore) -> None:
    """When a tenant has less than its share, others fill the slots; with nothing ready a claim is
    empty.
    """
    only = await submit(store, tenant="a")
    rest = [await submit(store, tenant="b") for _ in range(9)]
    taken = await claim(store, 6)
    assert len(taken) == 6
    assert set(ids(taken)) <= {only.job_id, *(job.job_id for job in rest)}
    assert len(await claim(store, 6)) == 4
    assert await claim(store, 6) == []


async def test_a_stop_wins_over_a_claim(store: SqlStore) -> None:
    """Of a claim and a stop in one batch the stop is carried out first, though it came later."""
    made = await submit(store)
    entered, go_on = threading.Event(), threading.Event()

    def hold_the_writer(job: Job, _now: int) -> Change:
        entered.set()
        go_on.wait()
        return Change(job)

    holding = asyncio.ensure_future(store.apply(made.job_id, hold_the_writer))
    await asyncio.to_thread(entered.wait)
    both = asyncio.gather(claim(store), stop(store, made))  # They wait together for the batch before them.
    await asyncio.sleep(0)
    go_on.set()
    taken, stopped = await both
    assert taken == []
    assert stopped.job.status is Status.ABORTED
    await holding


async def test_a_job_is_claimed_once(store: SqlStore, url: str, clock: Clock) -> None:
    """Two writers on one database, claiming at the same time, never get the same job."""
    made = [await submit(store) for _ in range(60)]
    other = SqlStore.open(url, durable=False, clock=clock)
    answers = await asyncio.gather(*(claim(one, 2) for _ in range(20) for one in (store, other)))
    await other.close()
    counted = Counter(job_id for claimed in answers for job_id in ids(claimed))
    assert counted == Counter(job.job_id for job in made)


async def test_a_job_that_expires_at_its_permit_frees_the_seat(store: SqlStore, clock: Clock) -> None:
    """A job found expired by its permit is answered FAILED, and the next job gets the slot."""
    late = await submit(store, expire_time=NOON + SECOND)
    good = await submit(store)
    clock.pass_time(2)
    first, second = await claim(store, 1)
    assert (first.job.job_id, first.job.status) == (late.job_id, Status.FAILED)
    assert (second.job.job_id, second.job.status) == (good.job_id, Status.RUNNING)
    assert first.slot == second.slot
    assert await now(store, late) == first.job


async def test_what_is_given_back_can_be_claimed_again(store: SqlStore) -> None:
    """A claim given back costs no attempt and is ready at once, with a higher claim number."""
    made = await submit(store)
    [taken] = await claim(store, permit=False)
    assert await claim(store) == []
    await store.apply(made.job_id, partial(running.give_back, claim=1, instance=INSTANCE))
    [again] = await claim(store)
    assert (again.job.job_id, again.job.claim, again.job.attempt) == (taken.job.job_id, 2, 1)


async def test_held_and_waiting_jobs_are_not_claimed(store: SqlStore) -> None:
    """A held job, and one whose time has not come, are not taken."""
    await submit(store, hold=True)
    await submit(store, run_after=NOON + SECOND)
    assert await claim(store, 5) == []
