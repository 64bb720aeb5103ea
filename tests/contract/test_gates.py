"""Gates: what is paused is not claimed, limits are exact, and what is closed keeps nothing else
waiting.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from contract.operations import INSTANCE, NOON, SECOND, Clock, claim, finish, set_gate, submit

from headrace_server.domain import running
from headrace_server.domain.gate import Gate, Scope
from headrace_server.domain.ports.claims import Claimed
from headrace_server.store import SqlStore
from headrace_server.store.claim import candidates
from headrace_server.store.read import queue_stats
from support.listeners import Recorder

OTHER = {Scope.QUEUE: "queue", Scope.TENANT: "tenant", Scope.TYPE: "kind"}
"""How a submission names what a gate is for."""


def of(claimed: list[Claimed], field: str) -> list[Any]:
    """A field of each job taken."""
    return [getattr(taken.job, field) for taken in claimed]


async def queue_up(store: SqlStore, jobs: Iterable[dict[str, Any]]) -> list[str]:
    """Submit these, and answer their ids."""
    return [(await submit(store, **given)).job_id for given in jobs]


async def test_a_gate_is_remembered(store: SqlStore) -> None:
    """A change names fields and leaves the others; what says nothing any more is forgotten."""
    await set_gate(store, Scope.QUEUE, "mail", max_running=3)
    changed = await set_gate(store, Scope.QUEUE, "mail", paused=True)
    assert changed == Gate(Scope.QUEUE, "mail", paused=True, max_running=3)
    await set_gate(store, Scope.TENANT, "a:b", weight=2)
    assert await store.find_gates(after="", limit=9) == [changed, Gate(Scope.TENANT, "a:b", weight=2)]
    assert await store.find_gates(after=changed.key, limit=9) == [Gate(Scope.TENANT, "a:b", weight=2)]
    await set_gate(store, Scope.QUEUE, "mail", paused=False, max_running=None)
    assert await store.find_gates(after="", limit=9) == [Gate(Scope.TENANT, "a:b", weight=2)]


@pytest.mark.parametrize("scope", list(Scope))
async def test_what_is_paused_is_not_claimed(store: SqlStore, scope: Scope) -> None:
    """A paused queue, tenant or type is left out, everything else goes on; it runs when it is
    resumed.
    """
    [paused] = await queue_up(store, [{OTHER[scope]: "p", "priority": 9}])
    [other] = await queue_up(store, [{}])
    await set_gate(store, scope, "p", paused=True)
    assert of(await claim(store, 5, kinds=["t", "p"]), "job_id") == [other]
    await set_gate(store, scope, "p", paused=False)
    assert of(await claim(store, 5, kinds=["t", "p"]), "job_id") == [paused]


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_limit_is_kept(store: SqlStore, scope: Scope) -> None:
    """No more than max_running run at once of a queue, tenant or type, claimed or running; an end
    lets one in.
    """
    await queue_up(store, [{OTHER[scope]: "l", "priority": 9} for _ in range(5)])
    await queue_up(store, [{} for _ in range(4)])
    await set_gate(store, scope, "l", max_running=2)
    field = "type" if scope is Scope.TYPE else scope.value
    first = await claim(store, 3, permit=False, kinds=["t", "l"])
    second = await claim(store, 9, kinds=["t", "l"])
    taken = of([*first, *second], field)
    assert (len(taken), taken.count("l")) == (6, 2)
    limited = next(one.job for one in second + first if getattr(one.job, field) == "l")
    await store.apply(limited.job_id, partial(running.return_permit, claim=limited.claim, instance=INSTANCE))
    assert of(await claim(store, 9, kinds=["t", "l"]), field) == ["l"]
    assert await claim(store, 9, kinds=["t", "l"]) == []


@pytest.mark.parametrize("limit", ["max_running", "max_running_per_owner"])
async def test_a_limit_of_zero_is_a_pause(store: SqlStore, limit: str) -> None:
    """Nothing passes it, and no end elsewhere is waited for as where a limit is full."""
    await queue_up(store, [{"queue": "l"}, {}])
    answers = []
    answered = store._news.retry.answered
    store._news.retry.answered = lambda taken, free, made: (
        answers.append(taken.full),
        answered(taken, free, made),
    )[0]  # type: ignore[method-assign]
    await set_gate(store, Scope.QUEUE, "l", **{limit: 0})
    assert of(await claim(store, 5), "queue") == ["default"]
    await set_gate(store, Scope.QUEUE, "l", **{limit: 1})
    assert of(await claim(store, 1), "queue") == ["l"]
    await queue_up(store, [{"queue": "l"}])
    assert await claim(store, 5) == []
    assert answers == [False, False, True]


@pytest.mark.parametrize("scope", list(Scope))
async def test_each_owner_has_a_limit(store: SqlStore, scope: Scope) -> None:
    """max_running_per_owner counts each owner of each tenant by itself, jobs without an owner as
    those of one.
    """
    tenants = ["l"] if scope is Scope.TENANT else ["x", "y"]
    for owner in ("ann", "bob", ""):
        for tenant in tenants:
            await queue_up(store, [{"tenant": tenant, OTHER[scope]: "l", "owner": owner} for _ in range(3)])
    await set_gate(store, scope, "l", max_running_per_owner=2)
    claimed = [taken for _ in range(3) for taken in await claim(store, 7, kinds=["t", "l"])]
    assert Counter((one.job.tenant, one.job.owner) for one in claimed) == {
        (tenant, owner): 2 for tenant in tenants for owner in ("ann", "bob", "")
    }
    ended = next(one.job for one in claimed if one.job.owner == "bob")
    await finish(store, ended, result="1")
    [again] = await claim(store, 7, kinds=["t", "l"])
    assert (again.job.tenant, again.job.owner) == (ended.tenant, "bob")


async def test_limits_hold_together(store: SqlStore) -> None:
    """Where a queue, a tenant, a type and owners have limits, none is passed, and what all let
    through is taken.
    """
    for number in range(60):
        await submit(
            store,
            queue=f"q{number % 2}",
            tenant=f"t{number % 3}",
            kind=f"k{number % 5}",
            owner=f"o{number % 4}",
        )
    await set_gate(store, Scope.QUEUE, "q0", max_running=6, max_running_per_owner=4)
    await set_gate(store, Scope.TENANT, "t0", max_running=5)
    await set_gate(store, Scope.TYPE, "k0", max_running=1)
    await set_gate(store, Scope.TENANT, "t1", max_running_per_owner=1)
    kinds = [f"k{number}" for number in range(5)]
    claimed = [taken.job for _ in range(9) for taken in await claim(store, 12, kinds=kinds)]
    counts = {field: Counter(getattr(job, field) for job in claimed) for field in ("queue", "tenant", "type")}
    assert counts["queue"]["q0"] == 6
    assert counts["tenant"]["t0"] <= 5
    assert counts["type"]["k0"] == 1
    owners = Counter((job.tenant, job.owner) for job in claimed)
    assert max(owners["t1", f"o{number}"] for number in range(4)) == 1
    assert counts["tenant"]["t2"] >= 8, (
        "a tenant without a limit has all of its jobs of q1 and of other types"
    )


async def test_a_limit_may_be_nothing(store: SqlStore) -> None:
    """A limit of 0 lets nothing through; taken away, all."""
    await queue_up(store, [{} for _ in range(3)])
    await set_gate(store, Scope.QUEUE, "default", max_running=0)
    assert await claim(store, 5) == []
    await set_gate(store, Scope.QUEUE, "default", max_running=None)
    assert len(await claim(store, 5)) == 3


async def test_owners_at_their_limit_are_passed(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind long queues of owners at their limit the others are found, by priority, then age, and
    in turn when they are many.
    """
    monkeypatch.setattr(candidates, "OWNERS", 4)
    await queue_up(store, [{"owner": owner, "priority": 5} for owner in "ab" for _ in range(20)])
    await set_gate(store, Scope.TENANT, "default", max_running_per_owner=1)
    assert sorted(of(await claim(store, 9), "owner")) == ["a", "b"]
    assert await claim(store, 9) == []
    await queue_up(store, [{"owner": "e"}, {"owner": "d", "priority": 1}, {"owner": "c"}])
    assert of([(await claim(store))[0] for _ in range(3)], "owner") == ["d", "e", "c"]
    many = [f"o{number:02}" for number in range(30)]
    await queue_up(store, [{"owner": owner} for owner in many])
    found = [taken.job.owner for _ in range(40) for taken in await claim(store, 2)]
    assert sorted(found) == many


async def test_a_tenant_at_its_limit_keeps_none_waiting(store: SqlStore) -> None:
    """However many tenants in front are paused, full, or have owners at their limit: a slot goes to
    the next that is not.
    """
    for number in range(30):
        await submit(store, tenant=f"a{number:02}", owner="ann")
        await submit(store, tenant=f"a{number:02}", owner="ann")
        await set_gate(store, Scope.TENANT, f"a{number:02}", max_running_per_owner=1, max_running=None)
    assert len(await claim(store, 30)) == 30
    for number in range(10):
        await submit(store, tenant=f"b{number}")
        await set_gate(store, Scope.TENANT, f"b{number}", paused=True)
    wanted = await submit(store, tenant="c")
    assert of(await claim(store), "job_id") == [wanted.job_id]


async def test_weights(store: SqlStore) -> None:
    """A tenant of weight 3 has three places in a round, in one claim as in many."""
    await queue_up(store, [{"tenant": tenant} for tenant in "abc" for _ in range(20)])
    await set_gate(store, Scope.TENANT, "b", weight=3)
    assert of(await claim(store, 10), "tenant") == list("abbbcabbbc")
    assert [of(await claim(store), "tenant")[0] for _ in range(10)] == list("abbbcabbbc")
    assert of(await claim(store, 3), "tenant") == list("abb")
    assert of(await claim(store, 3), "tenant") == list("bca")


async def test_only_these_queues(store: SqlStore) -> None:
    """A claim for some queues takes from those only; one for none in particular takes from all."""
    jobs = await queue_up(store, [{"queue": name} for name in ("x", "y", "z")])
    assert of(await claim(store, 5, queues=["y", "unseen"]), "job_id") == [jobs[1]]
    assert sorted(of(await claim(store, 5), "job_id")) == [jobs[0], jobs[2]]


async def test_what_is_limited_waits_behind_nothing(store: SqlStore) -> None:
    """A claim for a backlog leaves out what is under a limit: it would count while it waits."""
    limited, free = await queue_up(store, [{"queue": "l"}, {}])
    await set_gate(store, Scope.QUEUE, "l", max_running=9)
    assert of(await claim(store, 5, without_limits=True), "job_id") == [free]
    assert of(await claim(store, 5), "job_id") == [limited]


async def test_a_change_opens(store: SqlStore) -> None:
    """Whoever waits for work is told that a gate was changed, after it was."""
    told: list[str] = []
    store.listeners.append(Recorder(opened=lambda: told.append("open")))
    await set_gate(store, Scope.QUEUE, "default", paused=False)
    assert told == ["open"]


async def test_what_queues_and_tenants_are_doing(
    store: SqlStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with jobs that wait or run, or with a gate, are told by name: what waits is counted up
    to a bound.
    """
    monkeypatch.setattr(queue_stats, "WAITING_LIMIT", 3)
    for number in range(8):
        await submit(store, queue=f"q{number % 2}", tenant="ab"[number // 5], kind=f"k{number % 3}")
        clock.pass_time(1)
    await submit(store, queue="held", hold=True)
    await set_gate(store, Scope.QUEUE, "q9", paused=True)
    assert len(await claim(store, 2, kinds=["k0"], queues=["q0"])) == 2
    queues = await store.traffic(Scope.QUEUE, after="", limit=9)
    assert [(one.gate.name, one.waiting, one.at_least, one.running) for one in queues] == [
        ("q0", 2, False, 2),
        ("q1", 3, True, 0),
        ("q9", 0, False, 0),
    ]
    assert [one.oldest for one in queues] == [NOON + 2 * SECOND, NOON + SECOND, None]
    assert queues[2].gate.paused
    tenants = await store.traffic(Scope.TENANT, after="a", limit=9)
    assert [(one.gate.name, one.waiting, one.running) for one in tenants] == [("b", 2, 1)]
    assert await store.traffic(Scope.QUEUE, after="q0", limit=1) == queues[1:2]


async def test_two_stores_keep_a_limit(store: SqlStore, url: str, clock: Clock) -> None:
    """Two stores on one database that claim at the same time let no more through together than may
    run.
    """
    await queue_up(store, [{"owner": f"o{number % 4}"} for number in range(60)])
    await set_gate(store, Scope.QUEUE, "default", max_running=3, max_running_per_owner=1)
    other = SqlStore.open(url, durable=False, clock=clock)
    ended = 0
    async with asyncio.timeout(60):
        while ended < 60:
            answers = await asyncio.gather(*(claim(one, 2) for _ in range(3) for one in (store, other)))
            held = [taken.job for claimed in answers for taken in claimed]
            assert len(held) == len({job.owner for job in held}) <= 3
            await asyncio.gather(*(finish(store, job, result="1") for job in held))
            ended += len(held)
    await other.close()
