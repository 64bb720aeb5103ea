"""What a later version has written is read, and what is damaged harms itself alone: in every walk
over the store.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import pytest
import pytest_asyncio
from contract.operations import (
    FAULT,
    INSTANCE,
    LOST,
    SECOND,
    Clock,
    claim,
    finish,
    found,
    page,
    run,
    stop,
    submit,
)
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select, update

from headrace_server.codec import admin_answers, answers, event_message, job_message
from headrace_server.codec.event_bodies import FORMATS
from headrace_server.control.cluster.members import Members
from headrace_server.control.watch.follow import Watch, WatchOptions
from headrace_server.control.watch.hub import Hub
from headrace_server.domain import requests, running
from headrace_server.domain.errors import WrongStatus
from headrace_server.domain.event import EventKind
from headrace_server.domain.job import Job, Progress, Status
from headrace_server.domain.ports.cluster import Instance
from headrace_server.domain.query import FullJob, Group
from headrace_server.domain.retention import Retention
from headrace_server.domain.spec import RetryPolicy, Spec
from headrace_server.domain.updates import Finished, Snapshot
from headrace_server.store import SqlStore
from headrace_server.store.read.tail import Cursor
from headrace_server.store.tables import rows, schema
from support.next_version.rows import ABOUT, EVENTS, LATER, UNKNOWN, Later

KINDS = [f"t{number}" for number in range(len(LATER))]
TWICE = RetryPolicy(max_attempts=2, initial_backoff=0)


@pytest_asyncio.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    """A store that broadcasts."""
    opened = SqlStore.open(
        url, durable=False, clock=clock, broadcast=frozenset(EventKind), payload_bytes=1000
    )
    yield opened
    await opened.close()


async def made(store: SqlStore, state: str, kind: str) -> Job:
    """A job in a state, of a type of its own."""
    match state:
        case "queued":
            return await submit(store, kind, retry=TWICE, labels={"k": "v"})
        case "held":
            return await submit(store, kind, hold=True)
        case "failed":
            return (await finish(store, await run(store, kind=kind), error=FAULT)).job
    job = await run(store, kind=kind, retry=TWICE)
    if state == "retried":
        return (await finish(store, job, error=FAULT)).job
    if state == "stopping":
        return (await stop(store, job)).job
    latest = Progress(1, 9, "x", 1_700_000_000_000_000)
    return (
        await store.apply(
            job.job_id,
            lambda found, at: running.progress(found, at, claim=job.claim, instance=INSTANCE, latest=latest),
        )
    ).job


def write(engine: Engine, job: Job, later: Later) -> None:
    """A later version writes a column of its row."""
    with engine.begin() as connection:
        row = schema.job.c.job_id == job.job_id
        kept = connection.execute(select(schema.job.c[later.column]).where(row)).scalar_one()
        written = {later.column: later.write(kept), **(later.beside or {})}
        connection.execute(update(schema.job).where(row).values(written))


def stored(engine: Engine, job_id: str) -> Mapping[str, Any]:
    """A job's row."""
    with engine.begin() as connection:
        row = connection.execute(select(schema.job).where(schema.job.c.job_id == job_id))
        return dict(row.mappings().one())


@pytest_asyncio.fixture
async def jobs(store: SqlStore, engine: Engine) -> AsyncIterator[dict[str, Job]]:
    """A job for each thing that a later version writes."""
    before = {
        name: await made(store, later.state, kind)
        for kind, (name, later) in zip(KINDS, LATER.items(), strict=True)
    }
    for name, later in LATER.items():
        write(engine, before[name], later)
    yield before


async def test_lists_and_watches_show_them(
    store: SqlStore, jobs: dict[str, Job], caplog: pytest.LogCaptureFixture
) -> None:
    """Every job is in every list, alone, counted and watched; a word that is not known is UNKNOWN,
    and its end is told; of what cannot be read the log tells once.
    """
    ids = {job.job_id for job in jobs.values()}
    assert set(await found(store, page())) == ids
    counts = await store.count("default", page().filter, [Group.STATUS])
    assert (("UNKNOWN",), 4) in counts.groups
    for name, job in jobs.items():
        full = await store.get(job.job_id, tenant="default", payload=True)
        message = job_message.job_info(full)
        assert message.job_id == job.job_id
        assert message.status == (UNKNOWN if name.startswith("status") else job.status)
        assert message.final == (job.status.final or name == "status of one that has ended")
        watch = Watch(store, Hub(10), "default", job.job_id, WatchOptions(heartbeat=0.01))
        kinds = []
        async for told in watch.updates():
            kinds.append(type(told))
            assert answers.update(told) is not None
            if not message.final and len(kinds) > 1:
                break
        assert kinds[0] is Snapshot
        assert (kinds[-1] is Finished) == message.final
    known = {job.job_id: 0 for job in jobs.values()}
    assert {job.job_id for job in (await store.newer(known))[0]} == ids
    for name, job in jobs.items():
        told = [one for one in caplog.records if getattr(one, "job_id", None) == job.job_id]
        assert [one.levelname for one in told] == ["ERROR"] * (not LATER[name].legible), name


async def test_claims_take_what_they_can_read(store: SqlStore, jobs: dict[str, Job]) -> None:
    """What is queued with a key more is claimed and runs by its policy; what cannot be read is
    passed over, and none behind it waits.
    """
    last = await submit(store)
    taken = {one.job.job_id for one in await claim(store, slots=40, kinds=[*KINDS, "t"])}
    wanted = {
        jobs[name].job_id
        for name, later in LATER.items()
        if later.legible and later.state in ("queued", "retried")
    }
    assert taken == {*wanted, last.job_id}
    for _ in range(2):
        behind = [await submit(store, kind) for kind in KINDS]
        assert len(await claim(store, slots=40, kinds=KINDS)) == len(behind)
    again = await store.get(jobs["retry with more"].job_id, tenant="default", payload=False)
    assert (await finish(store, again.job, error=FAULT)).job.status is Status.QUEUED


async def test_stops_and_updates_act_on_what_can_be_read(
    store: SqlStore, jobs: dict[str, Job], engine: Engine
) -> None:
    """A caller can stop and change what can be read, and is told in a sentence of what cannot; of
    both the rest stays byte for byte.
    """
    for name, later in LATER.items():
        job = jobs[name]
        before = stored(engine, job.job_id)
        if later.legible:
            changed = await store.apply(
                job.job_id,
                lambda found, at: requests.update(found, at, fields={"description": "new"}, etag=""),
                tenant="default",
            )
            assert changed.job.description == "new"
            await store.apply(
                job.job_id,
                lambda found, at: requests.request_stop(found, at, grace=1, reason="", requested_by=""),
                tenant="default",
            )
        else:
            with pytest.raises(WrongStatus, match="this version cannot read all of it"):
                await store.apply(
                    job.job_id,
                    lambda found, at: requests.request_stop(found, at, grace=1, reason="", requested_by=""),
                    tenant="default",
                )
        after = stored(engine, job.job_id)
        touched = later.column == "stop" or (later.column == "error" and later.state == "retried")
        if not (later.legible and touched):
            assert after[later.column] == before[later.column], name


async def test_time_and_deaths_settle_what_can_be_read(
    store: SqlStore, jobs: dict[str, Job], clock: Clock, engine: Engine
) -> None:
    """Timers, takeovers and retention go over them: no run stays for ever, and what has a status of
    its own stays as it is.
    """
    waits = await submit(store, run_after=clock.now + SECOND)
    lost = await run(store)
    clock.pass_time(2)
    await store.run_timers()
    assert waits.job_id in {one.job.job_id for one in await claim(store, slots=40, kinds=[*KINDS, "t"])}
    assert await store.recover(LOST, confirmed=True) > 1
    assert stored(engine, lost.job_id)["status"] == Status.FAILED
    for name, later in LATER.items():
        status = stored(engine, jobs[name].job_id)["status"]
        assert (status == UNKNOWN) == name.startswith("status")
        if later.state in ("running", "stopping"):
            assert status in (Status.QUEUED, Status.FAILED, Status.ABORTED, UNKNOWN), name
    clock.pass_time(10_000_000)
    swept = await store.sweep(Retention(SECOND, SECOND, SECOND), None)
    assert swept.jobs > 1


@pytest.mark.parametrize("table", ["job_event", "outbox"])
async def test_events_of_a_later_version_are_told(
    store: SqlStore, engine: Engine, table: str, database: str
) -> None:
    """A kind, a status, a body that is not known: the history, its tail and the relay go on behind
    it, in order.
    """
    history = []
    for columns in EVENTS:
        job = await run(store)
        with engine.begin() as connection:
            of = schema.metadata.tables[table]
            which = (of.c.job_id == job.job_id, of.c.revision == 2)
            connection.execute(update(of).where(*which).values(columns))
        history.append(job)
    for job in history:
        events = await store.events(job.job_id, after=0, limit=10)
        assert [event.revision for event in events] == [1, 2, 3]
        assert [event_message.job_event(event).revision for event in events] == [1, 2, 3]
        watch = Watch(store, Hub(10), "default", job.job_id, WatchOptions(after=0, include_messages=True))
        seen = []
        async for told in watch.updates():
            assert answers.update(told) is not None
            seen.append(told)
            if len(seen) > 3:
                break
    unsent = await store.unsent(after=0, parked=False, limit=100)
    assert len(unsent.broadcasts) == 3 * len(EVENTS)
    assert all(encode(one) for one in unsent.broadcasts for _, encode in FORMATS.values())
    if database == "postgresql":
        with store._engines.tail.connect() as connection:
            assert len(Cursor([]).read(connection)) == 3 * len(EVENTS)


async def test_instances_of_a_later_version_are_listed(store: SqlStore, engine: Engine) -> None:
    """An instance that tells more of itself, or otherwise, or is in a state that is not known, is
    listed as far as it is understood.
    """
    await store.join(Instance("me", 1, {"types": ["t"], "workers": 1, "draining": False}), lease=None)
    with engine.begin() as connection:
        for number, about in enumerate(ABOUT):
            connection.execute(
                insert(schema.instance).values(
                    instance=f"later-{number}",
                    state=1 if number else 7,
                    beat=1,
                    start_time=2**62 if number == 1 else 2,
                    about=about,
                )
            )
    members = Members(store, store, lambda: {"types": ["t"], "workers": 1, "draining": False})
    shown = {one.instance: admin_answers.instance(one) for one in await members.all()}
    assert set(shown) == {"me", *(f"later-{number}" for number in range(len(ABOUT)))}
    assert (shown["later-0"].host, shown["later-0"].live, list(shown["later-0"].types)) == ("h", False, ["t"])
    assert await members.serving() == {"t": 1}


_ANY = st.sampled_from(
    [
        None,
        True,
        5,
        -1,
        2**70,
        10**400,
        0.5,
        "x",
        "\udc00",
        [],
        [1],
        [None],
        {},
        {"a": 1},
        {"kind": 1},
        [{"number": 1}],
    ]
)


def _like(plain: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """An object like this one, of which a part is otherwise."""
    other = st.dictionaries(st.sampled_from([*plain, "colour"]), _ANY, max_size=3)
    return other.map(lambda changed: {**plain, **changed})


def _started() -> Job:
    job = requests.create("j", "t", Spec("x"), 1, hold=False).job
    return running.permit(
        running.claim(job, 1, instance="i", worker="w").job, 1, claim=1, instance="i", worker="w"
    ).job


_ROW = rows.row_maker(rows.JOB_FIELDS)(_started())
_ATTEMPT = {"number": 1, "start_time": 1, "instance": "i", "worker": "w", "error": asdict(FAULT)}
_STOP = {"phase": 1, "request_time": 1, "kill_time": 2, "grace": 1}
_PROGRESS = {"done": 1, "total": 2, "message": "m", "update_time": 1}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "retry": _like(asdict(TWICE)) | _ANY,
            "progress": _like(_PROGRESS) | _ANY,
            "error": _like(asdict(FAULT)) | _ANY,
            "attempts": st.lists(_like(_ATTEMPT), max_size=2) | _ANY,
            "stop": _like(_STOP) | _ANY,
            "labels": _ANY,
            "status": st.integers(-5, 2**15),
        },
    )
)
def test_no_row_raises(written: dict[str, Any]) -> None:
    """Whatever stands in a job's row, it is read, shown, and stored again as it was where nothing
    of it has changed.
    """
    row = list(_ROW)
    for name, value in written.items():
        row[rows.JOB_FIELDS.index(name)] = value if name == "status" else json.dumps(value)
    job = rows.job_of(row)
    assert job_message.job_info(FullJob(job)).job_id == "j"
    again = rows.row_maker(rows.JOB_FIELDS)(job)
    for part in job.kept:
        assert again[rows.JOB_FIELDS.index(part.name)] == part.stored
    assert rows.job_of(again) == job
