"""Lists and counts: orders, pages under change, filters, groups."""

from functools import partial
from typing import Any

import pytest
from contract.operations import NOON, SECOND, Clock, continued, end, found, page, run, stop, submit

from headrace_server.domain import requests
from headrace_server.domain.job import Job, Status
from headrace_server.domain.query import COUNT_LIMIT, Counts, Filter, Group, Order, ParameterFilter
from headrace_server.domain.values import dumps
from headrace_server.store import SqlStore, sql
from headrace_server.store.tables import schema

KEYS: dict[Order, Any] = {
    Order.CREATE_TIME_DESC: lambda job: job.create_time,
    Order.CREATE_TIME_ASC: lambda job: job.create_time,
    Order.STATUS_TIME_DESC: lambda job: job.status_time,
    Order.STATUS_TIME_ASC: lambda job: job.status_time,
    Order.PRIORITY_DESC: lambda job: job.priority,
    Order.PRIORITY_ASC: lambda job: job.priority,
}


@pytest.mark.parametrize("order", list(Order))
async def test_pages_are_the_whole_list(store: SqlStore, clock: Clock, order: Order) -> None:
    """Pages joined are the sorted list, ties by id in the same direction, each job once."""
    jobs = []
    for number in range(11):
        jobs.append(await submit(store, priority=number % 3))
        clock.pass_time(number % 2)
    key = KEYS[order]
    asked = page(order, limit=4)
    listed: list[Job] = []
    while part := await store.find(asked):
        listed += [full.job for full in part]
        asked = continued(asked, (key(listed[-1]), listed[-1].job_id))
    assert listed == sorted(jobs, key=lambda job: (key(job), job.job_id), reverse=order.name.endswith("DESC"))


async def test_pages_do_not_shift_under_change(store: SqlStore, clock: Clock) -> None:
    """Jobs that come and go between two pages neither repeat nor hide any other job."""
    jobs = []
    for _ in range(6):
        jobs.append(await end(store))
        clock.pass_time(1)
    asked = page(Order.CREATE_TIME_DESC, limit=3)
    first = await found(store, asked)
    await submit(store)
    await store.delete(jobs[4].job_id, tenant="default")
    await store.delete(jobs[1].job_id, tenant="default")
    second = await found(store, continued(asked, (jobs[3].create_time, jobs[3].job_id)))
    assert first == [jobs[5].job_id, jobs[4].job_id, jobs[3].job_id]
    assert second == [jobs[2].job_id, jobs[0].job_id]


async def test_payload_comes_when_asked_for(store: SqlStore) -> None:
    """A page has parameters and results with payload, and none without."""
    ended = await end(store, parameters='{"n":1}')
    [bare] = await store.find(page())
    assert bare.payload is None
    asked = page()
    [full] = await store.find(type(asked)(asked.tenant, asked.filter, asked.order, 5, None, payload=True))
    assert full == await store.get(ended.job_id, tenant="default", payload=True)


async def test_filters_of_one_field(store: SqlStore, clock: Clock) -> None:
    """Each field of a filter selects by itself; within a list any entry matches; ranges are from
    inclusive to exclusive.
    """
    a = await submit(store, "image.resize", owner="ann", queue="fast", session_id="s1")
    clock.pass_time(1)
    b = await submit(store, "image.crop", owner="bob", tenant="default", labels={"team": "blue"})
    clock.pass_time(1)
    c = await submit(store, "report", owner="ann", labels={"team": "red", "x.y": 'say "hi"'})
    await stop(store, c)
    cases: list[tuple[dict[str, Any], list[Job]]] = [
        ({}, [a, b, c]),
        ({"statuses": (Status.ABORTED,)}, [c]),
        ({"statuses": (Status.ABORTED, Status.QUEUED)}, [a, b, c]),
        ({"types": ("report", "image.crop")}, [b, c]),
        ({"types": ("image.*",)}, [a, b]),
        ({"types": ("image.*", "report")}, [a, b, c]),
        ({"types": ("*",)}, [a, b, c]),
        ({"owners": ("ann",)}, [a, c]),
        ({"queues": ("fast",)}, [a]),
        ({"session_ids": ("s1", "s2")}, [a]),
        ({"job_ids": (a.job_id, c.job_id, "unknown")}, [a, c]),
        ({"labels": {"team": "red"}}, [c]),
        ({"labels": {"team": "red", "x.y": 'say "hi"'}}, [c]),
        ({"labels": {"team": "green"}}, []),
        ({"create_time_from": NOON + SECOND}, [b, c]),
        ({"create_time_to": NOON + SECOND}, [a]),
        ({"status_time_from": NOON, "status_time_to": NOON + 2 * SECOND}, [a, b]),
        ({"owners": ("ann",), "types": ("image.*",)}, [a]),
    ]
    for which, wanted in cases:
        assert await found(store, page(**which)) == [job.job_id for job in wanted], which


async def test_prefixes_are_literal(store: SqlStore) -> None:
    """In a prefix % and _ are themselves, and case counts."""
    literal = await submit(store, "a_b%c.x")
    await submit(store, "aXbYc.x")
    await submit(store, "A_B%C.x")
    assert await found(store, page(types=("a_b%c*",))) == [literal.job_id]


async def test_tenants_are_apart(store: SqlStore) -> None:
    """A list of one tenant shows its jobs only; a list without tenant shows all."""
    a, b = await submit(store, tenant="acme"), await submit(store, tenant="birch")
    assert await found(store, page(tenant="acme")) == [a.job_id]
    assert await found(store, page(tenant=None)) == [a.job_id, b.job_id]


VALUES: dict[str, Any] = {
    "1": 1,
    "1.0": 1.0,
    "true": True,
    "false": False,
    "0": 0,
    "null": None,
    '"1"': "1",
    '"true"': "true",
    '""': "",
    "9007199254740993": 9007199254740993,
}


async def test_parameters_are_equal_only_in_kind(store: SqlStore) -> None:
    """1, 1.0, true and "1" are four values; null is not an absent parameter; a large int is exact."""
    made = {text: await submit(store, parameters=f'{{"p":{text}}}') for text in VALUES}
    await submit(store, parameters="{}")
    await submit(store, parameters='{"p":[1]}')
    await submit(store, parameters='{"p":9007199254740992}')
    for text, value in VALUES.items():
        listed = await found(store, page(parameters=(ParameterFilter("p", equals=value),)))
        assert listed == [made[text].job_id], text


async def test_values_with_parts_are_found(store: SqlStore) -> None:
    """Bytes, lengths of time, lists and maps are found by their whole value, and by no other."""
    values = [
        {"$": "bytes", "v": "aGk="},
        {"$": "duration", "v": 90_000_000},
        {"$": "map", "v": {"a": 1, "ü": [1.0, None, 'q"']}},
        {"$": "map", "v": {"a": 1.0, "ü": [1.0, None, 'q"']}},
        [1, 2],
        [1.0, 2],
        [],
    ]
    made = [await submit(store, parameters=dumps({"p": value})) for value in values]
    for job, value in zip(made, values, strict=True):
        listed = await found(store, page(parameters=(ParameterFilter("p", equals=value),)))
        assert listed == [job.job_id], value
    text = await submit(store, parameters=dumps({"p": "[]"}))
    assert await found(store, page(parameters=(ParameterFilter("p", equals="[]"),))) == [text.job_id]


@pytest.mark.parametrize("name", ['a"b', "a.b", "$", "a[0]", "a'b", "a\\b", "ü", "p"])
async def test_parameter_names_are_any_text(store: SqlStore, name: str) -> None:
    """A parameter is found by its name whatever characters that has."""
    key = name.replace("\\", "\\\\").replace('"', '\\"')
    made = await submit(store, parameters=f'{{"{key}":"x"}}')
    await submit(store, parameters='{"other":"x","a":{"$":"map","v":{"b":"x"}}}')
    assert await found(store, page(parameters=(ParameterFilter(name, equals="x"),))) == [made.job_id]


async def test_parameters_by_prefix(store: SqlStore) -> None:
    """A prefix finds texts that begin with it, literally, and nothing that is no text."""
    first = await submit(store, parameters='{"p":"50%_off"}')
    await submit(store, parameters='{"p":"50 off"}')
    await submit(store, parameters='{"p":50}')
    assert await found(store, page(parameters=(ParameterFilter("p", prefix="50%"),))) == [first.job_id]
    both = (ParameterFilter("p", prefix="50"), ParameterFilter("p", equals="50%_off"))
    assert await found(store, page(parameters=both)) == [first.job_id]


async def test_counts_by_group(store: SqlStore) -> None:
    """Counts are grouped as asked, largest first, statuses by name, with the total."""
    await run(store, owner="ann")
    for _ in range(3):
        await submit(store, owner="bob")
    await submit(store, kind="u", owner="bob", tenant="acme", queue="fast")
    by_owner = await store.count("default", Filter(), [Group.OWNER])
    assert by_owner == Counts(((("bob",), 3), (("ann",), 1)), 4, at_least=False)
    by_two = await store.count(None, Filter(), [Group.STATUS, Group.TYPE])
    assert by_two.groups == ((("QUEUED", "t"), 3), (("QUEUED", "u"), 1), (("RUNNING", "t"), 1))
    by_place = await store.count(None, Filter(), [Group.TENANT, Group.QUEUE])
    assert by_place.groups == ((("default", "default"), 4), (("acme", "fast"), 1))
    assert await store.count(None, Filter(owners=("bob",)), []) == Counts((), 4, at_least=False)
    assert await store.count("nobody", Filter(), [Group.STATUS]) == Counts((), 0, at_least=False)


async def test_counting_ends_early(store: SqlStore, url: str) -> None:
    """Counts are exact up to the limit; of more jobs the limit is counted, and said to be at least
    so many.
    """
    made = await submit(store)
    owner = sql.of_url(url).owner_engine(url)  # which may take its time
    with owner.begin() as connection:
        columns = ", ".join(schema.job.columns.keys()[1:])
        copies = (
            f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {COUNT_LIMIT - 1}) "  # noqa: S608 no outside text
            f"INSERT INTO job SELECT 'copy-' || n, {columns} FROM n, job WHERE job_id = '{made.job_id}'"
        )
        connection.exec_driver_sql(copies)
    owner.dispose()
    exact = await store.count("default", Filter(), [Group.STATUS])
    assert exact == Counts(((("QUEUED",), COUNT_LIMIT),), COUNT_LIMIT, at_least=False)
    await submit(store)
    more = await store.count("default", Filter(), [Group.STATUS])
    assert more == Counts(((("QUEUED",), COUNT_LIMIT),), COUNT_LIMIT, at_least=True)


async def test_order_by_status_time_follows_changes(store: SqlStore, clock: Clock) -> None:
    """A job that changes its status moves in the order by status time."""
    first, second = await submit(store), await submit(store)
    clock.pass_time(1)
    await store.apply(first.job_id, partial(requests.request_stop, grace=0, reason="", requested_by=""))
    assert await found(store, page(Order.STATUS_TIME_DESC)) == [first.job_id, second.job_id]
