"""The store against the model: whatever is asked, alone or together, they say the same and hold the
same.

A rule asks one thing, or several in one batch; time passes; the store is closed or abandoned and
opened again. After each step every job, every history, the counts and what was told of the commits
are compared, and the rows themselves.
"""

import asyncio
import gc
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace_server.domain import requests, running
from headrace_server.domain.change import Change, Message, Outcome
from headrace_server.domain.errors import ControlError, StaleClaim, StoreUnavailable
from headrace_server.domain.job import ErrorKind, JobError, Progress, Status, StopPhase
from headrace_server.domain.ports.claims import ClaimRequest, FreeSlot
from headrace_server.domain.ports.jobs import Page, Submission
from headrace_server.domain.query import Filter, Group, Order
from headrace_server.domain.spec import RetryPolicy, Spec
from headrace_server.store import SqlStore
from headrace_server.store.opening import migrate
from headrace_server.store.read import listing, one_job
from support import faults_rows, model_view
from support.faults_life import at_once
from support.figures import figure, seed
from support.listeners import Recorder
from support.model import Model, Record, Refused

pytestmark = pytest.mark.slow

START = 1_800_000_000_000_000
SECOND = 1_000_000
LIMIT = 3
CLAIM = 2
"""The phase of claims."""
TRIES = 3
"""Of what is asked while the database is away, which a machine that stands still for seconds can
bring about.
"""
HERE, THERE = "here", "there"
TENANTS = ("acme", "birch", "cedar")
TYPES = ("red", "red.dark", "blue")
OWNERS = ("ada", "bob")
EVERYTHING = Page(None, Filter(), Order.CREATE_TIME_ASC, 1000, after=None, payload=True)


@dataclass(frozen=True)
class Asked:
    """Something that is asked of both: when in a batch it is done (0 first), and how each of them
    is asked.
    """

    phase: int
    of_model: Callable[[Any], Any]
    of_store: Callable[[], Awaitable[Any]]


# What may be asked, drawn: a job is named by a number, whatever jobs there will be.

which = st.integers(0, 11)
offsets = st.sampled_from([None, None, None, -SECOND, SECOND, 3 * SECOND])
submits = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(TENANTS),
        "type": st.sampled_from(TYPES),
        "owner": st.sampled_from(OWNERS),
        "priority": st.integers(-1, 1),
        "labels": st.sampled_from([{}, {"k": "v"}, {"k": "w", "l": ""}]),
        "run_after": offsets,
        "expire_time": offsets,
        "max_attempts": st.integers(1, 3),
        "backoff": st.sampled_from([0, 2 * SECOND]),
        "hold": st.booleans(),
        "request_id": st.sampled_from(["", "", "r1", "r2", "r3"]),
        "digest": st.sampled_from(["one", "one", "other"]),
    }
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "description": st.sampled_from(["", "mine", "yours"]),
        "locked": st.booleans(),
        "priority": st.integers(-1, 1),
        "labels": st.sampled_from([{}, {"k": "v"}]),
        "run_after": offsets,
        "expire_time": offsets,
    },
)
outcomes = st.one_of(
    st.fixed_dictionaries(
        {"error": st.none(), "result": st.sampled_from([None, "1"]), "stop_seen": st.booleans()}
    ),
    st.fixed_dictionaries({"error": st.none(), "insisted": st.just(True), "stop_seen": st.just(True)}),
    st.fixed_dictionaries({"error": st.none(), "aborted": st.just(True)}),
    st.fixed_dictionaries(
        {"error": st.sampled_from(ErrorKind).map(lambda kind: kind.name), "confirmed": st.booleans()}
    ),
    st.fixed_dictionaries({"error": st.just("DECLARED"), "retry": st.booleans()}),
)
claims = st.tuples(
    st.lists(st.booleans(), min_size=1, max_size=4), st.sets(st.sampled_from(TYPES), min_size=1)
)
of_run = st.one_of(
    st.tuples(st.just("permit"), st.none()),
    st.tuples(st.just("return_permit"), st.none()),
    st.tuples(st.just("report"), st.integers(0, 5)),
    st.tuples(st.just("log"), st.integers(1, 3)),
    st.tuples(st.just("set_result"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("stop_phase"), st.sampled_from(["DELIVERED", "TERMINATING", "KILLING"])),
    st.tuples(st.just("finish"), outcomes),
    st.tuples(st.just("finish"), outcomes),
)
operations = st.one_of(
    st.tuples(st.just("submit"), submits),
    st.tuples(st.just("submit"), submits),
    st.tuples(st.just("release"), which),
    st.tuples(st.just("stop"), st.tuples(which, st.sampled_from([0, SECOND, 10 * SECOND]))),
    st.tuples(st.just("update"), st.tuples(which, changes, st.sampled_from(["none", "right", "wrong"]))),
    st.tuples(st.just("delete"), st.tuples(which, st.sampled_from(["right", "right", "wrong"]))),
    st.tuples(st.just("claim"), claims),
    st.tuples(st.just("claim"), claims),
    st.tuples(st.just("run"), st.tuples(which, of_run, st.sampled_from(["right"] * 6 + ["old", "other"]))),
    st.tuples(st.just("run"), st.tuples(which, of_run, st.just("right"))),
    st.tuples(st.just("run"), st.tuples(which, of_run, st.just("right"))),
    st.tuples(st.just("timers"), st.none()),
    st.tuples(st.just("recover"), st.booleans()),
)


class Place(Protocol):
    """Where a store is, empty at the start of each example."""

    url: str
    rows: Any
    """A connection that reads rows as sqlite3.Row does."""
    claims_apart: bool
    """Whether claims have a connection of their own, so that others in a batch may come before or
    after them.
    """

    def close(self) -> None:
        """Give it back."""
        ...


class File:
    """An SQLite file."""

    claims_apart = False

    def __init__(self, template: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=template.parent)
        path = Path(shutil.copy(template, Path(self._folder.name) / "jobs.db"))
        self.url = f"sqlite:///{path}"
        self.rows = sqlite3.connect(path, isolation_level=None)

    def close(self) -> None:
        """Remove it."""
        self.rows.close()
        self._folder.cleanup()


class Database:
    """A PostgreSQL database."""

    claims_apart = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.rows = faults_rows.Postgresql(url)
        self.rows.empty()

    def close(self) -> None:
        """Leave it."""
        self.rows.close()


class StoreAgainstModel(RuleBasedStateMachine):
    """One store on a place of its own, and one model."""

    place_of: Callable[[], Place]

    def __init__(self) -> None:
        super().__init__()
        self.place = type(self).place_of()
        self.loop = asyncio.new_event_loop()
        self.model = Model(START)
        self.told: dict[str, list[int]] = {}
        self.count = 0
        self.steps = 0
        self.touched: set[str] = set()
        self.abandoned: list[SqlStore] = []
        self.names: list[str] = []
        self.permits: set[str] = set()
        self.said: set[str] = set()
        self._open()

    def _open(self) -> None:
        async def opened() -> SqlStore:
            return SqlStore.open(self.place.url, durable=False, clock=lambda: self.model.now)

        self.store = self.loop.run_until_complete(opened())
        self.store.listeners.append(Recorder(committed=self._committed))

    def _committed(self, told: Sequence[Change]) -> None:
        assert len({change.job.job_id for change in told}) == len(told), "a job was told twice of one commit"
        for change in told:
            self.told.setdefault(change.job.job_id, []).extend(event.revision for event in change.events)
            self.touched.add(change.job.job_id)

    # What is asked

    @rule(deed=operations)
    def one(self, deed: Any) -> None:
        """Ask one thing."""
        self._ask([self._asked(*deed)])

    @rule(together=st.lists(operations, min_size=2, max_size=6))
    def together(self, together: list[Any]) -> None:
        """Ask several things in one batch: each has its own outcome."""
        self._ask([self._asked(*deed) for deed in together])

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        """The clock goes on; nothing happens by itself."""
        self.model.now += seconds * SECOND

    @precondition(lambda self: self.steps % 6 == 0)
    @rule(abandon=st.booleans(), confirmed=st.booleans())
    def dies(self, *, abandon: bool, confirmed: bool) -> None:
        """Another life: the store is closed, or left as a kill leaves it; the next one settles what
        was held.
        """
        if abandon:
            self.abandoned.append(self.store)
        else:
            self.loop.run_until_complete(self.store.close())
        self._open()
        self._ask([self._asked("recover", confirmed)])

    @rule(
        tenant=st.sampled_from([*TENANTS, None]),
        statuses=st.sets(st.sampled_from(Status), max_size=3),
        types=st.sampled_from([(), ("red",), ("red*",), ("blue", "red.*")]),
        owners=st.sampled_from([(), ("ada",)]),
        labels=st.sampled_from([{}, {"k": "v"}]),
        since=st.sampled_from([None, START + 1]),
        order=st.sampled_from(Order),
        limit=st.integers(1, 4),
    )
    def lists(self, order: Order, limit: int, tenant: str | None, **given: Any) -> None:
        """A list by any filter and order, page by page, and its count."""
        statuses = tuple(sorted(given["statuses"]))
        asked = Filter(
            statuses, given["types"], given["owners"], labels=given["labels"], create_time_from=given["since"]
        )
        expected = [
            job for job in self.model.jobs.values() if tenant in (None, job.tenant) and _matches(job, asked)
        ]
        name = order.name.rpartition("_")[0].lower()
        expected.sort(key=lambda job: (getattr(job, name), job.job_id), reverse=order.name.endswith("DESC"))
        found: list[str] = []
        after = None
        while True:
            page = Page(tenant, asked, order, limit, after, payload=False)
            jobs = [full.job for full in self.loop.run_until_complete(self.store.find(page))]
            found += [job.job_id for job in jobs]
            if len(jobs) < limit:
                break
            after = (getattr(jobs[-1], name), jobs[-1].job_id)
        assert found == [job.job_id for job in expected]
        counts = self.loop.run_until_complete(self.store.count(tenant, asked, [Group.STATUS, Group.TYPE]))
        assert dict(counts.groups) == Counter((job.status, job.type) for job in expected)
        assert (counts.total, counts.at_least) == (len(expected), False)

    def _ask(self, asked: list[Asked]) -> None:
        self.permits.clear()
        self.said.clear()

        async def ask(these: list[Asked]) -> list[Any]:
            for _ in range(TRIES):
                with at_once():
                    answers = await asyncio.gather(*(one.of_store() for one in these), return_exceptions=True)
                unwritten = [isinstance(answer, StoreUnavailable) for answer in answers]
                if not any(unwritten):
                    break
                # The machine stood still, and the database gave the transaction up: nothing of it
                # is stored.
                assert all(unwritten), answers
                print(f"asked again: {answers[0]}")
            return answers

        if self.place.claims_apart:
            asked.sort(key=lambda one: one.phase)
            claims_at = sum(one.phase < CLAIM for one in asked)
            parts = [asked[:claims_at], asked[claims_at:]]
        else:
            parts = [asked]
        answers = [answer for part in parts for answer in self.loop.run_until_complete(ask(part))]
        for place in sorted(range(len(asked)), key=lambda place: asked[place].phase):
            answer = answers[place]
            if isinstance(answer, Exception) and not isinstance(answer, ControlError | StaleClaim):
                raise answer
            try:
                asked[place].of_model(answer)
                expected = None
            except Refused as refused:
                expected = str(refused)
            said = type(answer).__name__ if isinstance(answer, Exception) else None
            assert said == expected, f"{answer!r}, and the model says {expected}"

    def _asked(self, deed: str, given: Any) -> Asked:
        return getattr(self, f"_{deed}")(given)  # type: ignore[no-any-return] # each answers Asked

    def _name(self, number: int) -> str:
        return self.names[-1 - number % len(self.names)] if self.names else "nowhere"

    def _apply(self, job_id: str, decide: Any, of_model: Callable[[], None]) -> Asked:
        return Asked(0, lambda _answer: of_model(), lambda: self.store.apply(job_id, decide))

    def _submit(self, given: Any) -> Asked:
        self.count += 1
        job_id = f"job-{self.count:04d}"
        fields = {name: given[name] for name in ("tenant", "type", "owner", "priority", "labels")}
        times = {name: _time(given[name], self.model.now) for name in ("run_after", "expire_time")}
        retry = RetryPolicy(given["max_attempts"], given["backoff"], multiplier=1.0)
        spec = {name: value for name, value in fields.items() if name != "tenant"}
        submission = Submission(
            job_id,
            given["tenant"],
            Spec(**spec, **times, retry=retry),
            hold=given["hold"],
            request_id=given["request_id"],
            digest=given["digest"],
        )

        def of_model(answer: Any) -> None:
            record = Record(
                job_id,
                **fields,
                **times,
                max_attempts=retry.max_attempts,
                backoff=given["backoff"],
                create_time=0,
            )
            made = self.model.submit(
                record, hold=given["hold"], request_id=given["request_id"], digest=given["digest"]
            )
            assert not isinstance(answer, Exception), answer
            assert (answer.job.job.job_id, answer.existing) == made
            if not made[1]:
                self.names.append(job_id)

        return Asked(0, of_model, lambda: self.store.submit(submission))

    def _release(self, number: int) -> Asked:
        job_id = self._name(number)
        return self._apply(job_id, requests.release, lambda: self.model.release(job_id))

    def _stop(self, given: Any) -> Asked:
        job_id, grace = self._name(given[0]), given[1]
        decide = partial(requests.request_stop, grace=grace, reason="enough", requested_by="me")
        return self._apply(job_id, decide, lambda: self.model.request_stop(job_id, grace))

    def _update(self, given: Any) -> Asked:
        number, fields, etag = given
        job_id = self._name(number)
        times = {
            name: _time(fields[name], self.model.now)
            for name in ("run_after", "expire_time")
            if name in fields
        }
        fields = {**fields, **times}
        known = self.model.jobs.get(job_id)
        version = {"none": None, "right": known.version if known else 1, "wrong": 99}[etag]
        decide = partial(requests.update, fields=fields, etag="" if version is None else f"v{version}")
        return self._apply(job_id, decide, lambda: self.model.update(job_id, fields, version))

    def _delete(self, given: Any) -> Asked:
        job_id = self._name(given[0])
        known = self.model.jobs.get(job_id)
        tenant = known.tenant if known and given[1] == "right" else "nobody"
        return Asked(
            0,
            lambda _answer: self.model.delete(job_id, tenant),
            lambda: self.store.delete(job_id, tenant=tenant),
        )

    def _claim(self, given: Any) -> Asked:
        slots, types = given
        request = ClaimRequest(
            HERE, [FreeSlot(f"w{number}", permit) for number, permit in enumerate(slots)], frozenset(types)
        )

        def of_model(answer: Any) -> None:
            assert not isinstance(answer, Exception), answer
            self.model.claimed([one.job.job_id for one in answer], slots, types, HERE)

        return Asked(CLAIM, of_model, lambda: self.store.claim(request))

    def _run(self, given: Any) -> Asked:
        number, (deed, what), fence = given
        held = [job_id for job_id in self.names if (job := self.model.jobs.get(job_id)) and job.claim]
        job_id = held[-1 - number % len(held)] if held else self._name(number)
        known = self.model.jobs.get(job_id)
        if known and fence == "right":
            deed, what = self._possible(known, deed, what)
        claim = (known.claim if known else 0) - (fence == "old")
        instance = THERE if fence == "other" else HERE
        decide = partial(_DECISIONS[deed](what), claim=claim, instance=instance)

        def of_model() -> None:
            job = self.model.run(job_id, claim, instance)
            match deed:
                case "finish":
                    self.model.finish(job, **what)
                case "log":
                    self.model.log(job, what, LIMIT)
                case "set_result":
                    self.model.set_result(job, what, '"x"')
                case "report" | "stop_phase":
                    getattr(self.model, deed)(job, what)
                case _:
                    getattr(self.model, deed)(job)

        return self._apply(job_id, decide, of_model)

    def _possible(self, known: Record, deed: str, what: Any) -> tuple[str, Any]:
        """What the run of a job may do now: a claim is permitted once, and says nothing before; a
        permit is unused only then.
        """
        if known.status == "TO_BE_RUN" and deed not in ("return_permit", "finish"):
            if known.job_id in self.permits:
                return "return_permit", None
            self.permits.add(known.job_id)
            return "permit", None
        said = known.job_id in self.said or known.messages or known.results
        if known.status != "TO_BE_RUN" and (deed == "permit" or (deed == "return_permit" and said)):
            return "report", 1
        self.said.add(known.job_id)
        return deed, what

    def _timers(self, _given: None) -> Asked:
        def of_model(answer: Any) -> None:
            expected = self.model.run_timers()
            # A retry waits for up to a tenth longer than its backoff.
            assert answer == expected or 0 <= answer - expected <= 0.2 * SECOND, f"{answer}, not {expected}"

        return Asked(1, of_model, self.store.run_timers)

    def _recover(self, confirmed: bool) -> Asked:
        lost = JobError(ErrorKind.INSTANCE_LOST, "lost")

        def of_model(answer: Any) -> None:
            assert answer == self.model.recover(confirmed=confirmed)

        return Asked(1, of_model, lambda: self.store.recover(lost, confirmed=confirmed))

    # What must be so after each step

    @invariant()
    def they_agree(self) -> None:
        """Every job, the histories of those that were touched, the counts, what was told, and the
        rows.
        """
        self.steps += 1
        # On this thread: what lists and reads do on theirs is for `lists` and `teardown`.
        stored = {full.job.job_id: full for full in self.store._ask(lambda c: listing.find(c, EVERYTHING))}
        assert stored.keys() == self.model.jobs.keys()
        waiting = [record for record in self.model.jobs.values() if record.status in ("PENDING", "QUEUED")]
        assert self.store.waiting == len(waiting)
        for job_id, record in self.model.jobs.items():
            full = stored[job_id]
            _take_jitter(full.job.next_attempt_time, record)
            assert model_view.of_store(full) == model_view.of_model(record), job_id
            assert self.told[job_id] == list(range(1, full.job.revision + 1)), (
                f"{job_id} was told as {self.told[job_id]}"
            )
        for job_id in self.touched & stored.keys():
            events = self.store._ask(partial(one_job.events, job_id=job_id, after=0, limit=1000))
            assert list(map(model_view.seen_event, events)) == self.model.jobs[job_id].history
        self.touched.clear()
        faults_rows.check_on(self.place.rows)

    def teardown(self) -> None:
        """The end of an example: every history once more, and everything closed."""
        try:
            for job_id, record in self.model.jobs.items():
                events = self.loop.run_until_complete(self.store.events(job_id, after=0, limit=1000))
                assert list(map(model_view.seen_event, events)) == record.history
                got = self.store.get(job_id, tenant=record.tenant, payload=True)
                assert model_view.of_store(self.loop.run_until_complete(got)) == model_view.of_model(record)
        finally:
            for store in (*self.abandoned, self.store):
                self.loop.run_until_complete(store.close())
            self.loop.close()
            self.place.close()
            # Hypothesis keeps what it has tried. Left to the collector, thousands of examples make
            # it stand still in the middle of a transaction for as long as a database waits.
            gc.collect()
            gc.freeze()


def _time(offset: int | None, now: int) -> int | None:
    return None if offset is None else now + offset


def _take_jitter(stored: int | None, record: Record) -> None:
    """A retry waits for up to a tenth longer than its backoff: take the store's word for how long."""
    planned = record.next_attempt_time
    if planned is not None and stored is not None and 0 < stored - planned <= record.backoff * 0.1:
        record.next_attempt_time = stored
        if record.due_time == planned:
            record.due_time = stored


def _matches(job: Record, asked: Filter) -> bool:
    return (
        (not asked.statuses or Status[job.status] in asked.statuses)
        and (not asked.types or any(_is_type(job.type, pattern) for pattern in asked.types))
        and (not asked.owners or job.owner in asked.owners)
        and all(job.labels.get(name) == value for name, value in asked.labels.items())
        and (asked.create_time_from is None or job.create_time >= asked.create_time_from)
    )


def _is_type(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _outcome(what: dict[str, Any]) -> Outcome:
    error = JobError(ErrorKind[what["error"]], "it broke") if what["error"] else None
    return Outcome(**{**what, "error": error})


_DECISIONS: dict[str, Callable[[Any], Callable[..., Change]]] = {
    "permit": lambda _: partial(running.permit, worker="w"),
    "return_permit": lambda _: running.return_permit,
    "report": lambda done: partial(running.progress, latest=Progress(done, None, "", START)),
    "log": lambda count: partial(
        running.log, messages=[Message(2, 1, f"message {number}") for number in range(count)], limit=LIMIT
    ),
    "set_result": lambda name: partial(running.set_result, name=name, value='"x"'),
    "stop_phase": lambda phase: partial(running.stop_phase, phase=StopPhase[phase]),
    "finish": lambda what: partial(running.finish, outcome=_outcome(what)),
}


def agree(place: Callable[[], Place], examples: int) -> None:
    """Let Hypothesis look for a difference."""
    try:
        run_state_machine_as_test(
            hypothesis.seed(seed())(type("Machine", (StoreAgainstModel,), {"place_of": staticmethod(place)})),
            settings=settings(
                max_examples=examples,
                stateful_step_count=50,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        gc.unfreeze()


@pytest.mark.timeout(figure(900, 7200))  # what fails is made small first
def test_the_store_is_the_model(tmp_path: Path) -> None:
    """Whatever callers, runs, time and deaths do, alone or in one batch, the store is what the
    model says: no refusal changes anything, no event is missing, and nothing derived drifts.
    """
    template = tmp_path / "empty.db"
    migrate.upgrade(f"sqlite:///{template}")
    agree(partial(File, template), figure(200, 2000))


@pytest.mark.timeout(figure(900, 7200))  # as above
def test_the_store_on_postgresql_is_the_model(shared_url: str) -> None:
    """The same on PostgreSQL, where claims have a connection of their own."""
    agree(partial(Database, shared_url), figure(80, 2000))
