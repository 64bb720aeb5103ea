"""The running server, through the public client, against what callers know: a caller's own small
model.

What workers do in between is theirs, so a job that was released is known by what it must come to; a
held job is known exactly. Each example has a tenant of its own on one server.
"""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from headrace import Client
from headrace.errors import EtagMismatch, JobLocked, JobNotFound, RequestIdReused, WrongStatus
from headrace.info import Finished, JobEvent
from support.checker import check_job
from support.figures import figure, seed
from support.history import problems
from support.server import Server

pytestmark = pytest.mark.slow

ENDS = {"noop": "SUCCEEDED", "fail": "FAILED", "abort": "ABORTED"}
PARAMETERS = {
    "noop": ("test.noop", {}),
    "fail": ("test.fail", {}),
    "abort": ("test.declare", {"how": "abort"}),
}


@dataclass
class Known:
    """What a caller knows of a job."""

    kind: str
    held: bool
    request_id: str
    sent: tuple[str, bool]
    """The body of its submit: the kind, and whether it was to be held."""
    fields: dict[str, Any] = field(
        default_factory=lambda: {"description": "", "priority": 0, "locked": False}
    )
    etag: str = ""
    stopped: bool = False
    end: str = ""

    def may_end(self) -> set[str]:
        """The statuses in which it may end."""
        if self.end:
            return {self.end}
        return {ENDS[self.kind], "ABORTED"} if self.stopped else {ENDS[self.kind]}


which = st.integers(0, 7)
kinds = st.sampled_from(list(ENDS))


class ServerAgainstCaller(RuleBasedStateMachine):
    """One tenant of one server."""

    server: ClassVar[Server]
    shared: ClassVar[Client]

    def __init__(self) -> None:
        super().__init__()
        self.tenant = f"t-{uuid.uuid4().hex[:12]}"
        self.jobs: dict[str, Known] = {}
        self.deleted: list[str] = []

    def _pick(self, number: int) -> str | None:
        return list(self.jobs)[-1 - number % len(self.jobs)] if self.jobs else None

    @rule(kind=kinds, hold=st.booleans(), request_id=st.sampled_from(["", "r1", "r2"]))
    def submit(self, kind: str, hold: bool, request_id: str) -> None:
        """A new job, the one of this request_id, or a refusal."""
        made = {known.request_id: job_id for job_id, known in self.jobs.items() if known.request_id}
        name, parameters = PARAMETERS[kind]
        given: dict[str, Any] = {"request_id": f"{self.tenant}-{request_id}"} if request_id else {}
        earlier = made.get(request_id)
        if request_id in self.deleted:
            with pytest.raises((JobNotFound, RequestIdReused)):
                self.shared.submit(name, parameters, tenant=self.tenant, hold=hold, **given)
        elif earlier is not None and self.jobs[earlier].sent != (kind, hold):
            with pytest.raises(RequestIdReused):
                self.shared.submit(name, parameters, tenant=self.tenant, hold=hold, **given)
        elif earlier is not None:
            again = self.shared.submit(name, parameters, tenant=self.tenant, hold=hold, **given)
            assert (again.job_id, again.existing) == (earlier, True)
        else:
            job = self.shared.submit(name, parameters, tenant=self.tenant, hold=hold, **given)
            assert not job.existing
            assert job.info is not None
            assert job.info.status == ("PENDING" if hold else "QUEUED")
            self.jobs[job.job_id] = Known(kind, hold, request_id, (kind, hold), etag=job.info.etag)

    @rule(number=which)
    def queue(self, number: int) -> None:
        """A held job is released; one that was stopped while held is refused."""
        if (job_id := self._pick(number)) is None:
            return
        known = self.jobs[job_id]
        if known.held and known.end:
            with pytest.raises(WrongStatus):
                self.shared.release(job_id, tenant=self.tenant)
        else:
            self.shared.release(job_id, tenant=self.tenant)
            known.held = False

    @rule(number=which, wait=st.booleans())
    def stop(self, number: int, wait: bool) -> None:
        """The outcome is what has become of the job; a held job is ABORTED at once."""
        if (job_id := self._pick(number)) is None:
            return
        known = self.jobs[job_id]
        result = self.shared.stop(job_id, tenant=self.tenant, wait_timeout=20 if wait else None)
        if known.end:
            assert result.outcome == "ALREADY_FINISHED"
        elif known.held:
            assert (result.outcome, result.job.status) == ("STOPPED", "ABORTED")
        known.stopped = known.stopped or result.outcome != "ALREADY_FINISHED"
        if result.job.final:
            assert result.job.status in known.may_end()
            assert result.job.status == "ABORTED" or result.outcome != "STOPPED"
            known.end = str(result.job.status)
        else:
            assert result.outcome == "STOPPING"
            assert not wait

    @rule(
        number=which,
        changes=st.fixed_dictionaries(
            {},
            optional={
                "description": st.sampled_from(["", "mine"]),
                "priority": st.integers(-1, 1),
                "locked": st.booleans(),
            },
        ).filter(bool),
        etag=st.sampled_from(["", "right", "wrong"]),
    )
    def update(self, number: int, changes: dict[str, Any], etag: str) -> None:
        """Fields change once; an old etag, or a priority after the end, is refused and changes
        nothing.
        """
        if (job_id := self._pick(number)) is None:
            return
        known = self.jobs[job_id]
        changed = {name for name, value in changes.items() if known.fields[name] != value}
        given = {"": "", "right": known.etag, "wrong": "v999"}[etag]
        try:
            job = self.shared.update(job_id, tenant=self.tenant, etag=given, **changes)
        except EtagMismatch:
            assert changed
            assert etag == "wrong"
        except WrongStatus:
            assert "priority" in changed
            assert self.shared.get(job_id, tenant=self.tenant).final
        else:
            assert not changed or etag != "wrong"
            assert (job.etag != known.etag) == bool(changed)
            known.etag = job.etag
            known.fields |= changes

    @rule(number=which)
    def delete(self, number: int) -> None:
        """Only a job that has ended and is not locked goes, with all that there was of it."""
        if (job_id := self._pick(number)) is None:
            return
        known = self.jobs[job_id]
        ended = self.shared.get(job_id, tenant=self.tenant).final
        try:
            self.shared.delete(job_id, tenant=self.tenant)
        except JobLocked:
            assert known.fields["locked"]
        except WrongStatus:
            assert not ended
        else:
            assert not known.fields["locked"]
            del self.jobs[job_id]
            self.deleted += [known.request_id] if known.request_id else []
            for gone in (self.shared.get, self.shared.stop):
                with pytest.raises(JobNotFound):
                    gone(job_id, tenant=self.tenant)

    @rule(number=which, after=st.integers(0, 3))
    def watch(self, number: int, after: int) -> None:
        """A watch from a revision shows every event behind it, in order, and the end; the history
        is the same.
        """
        if (job_id := self._pick(number)) is None or (self.jobs[job_id].held and not self.jobs[job_id].end):
            return
        known = self.jobs[job_id]
        after = min(after, self.shared.get(job_id, tenant=self.tenant).revision)
        updates = list(
            self.shared.watch(
                job_id, tenant=self.tenant, after_revision=after, include_messages=True, timeout=30
            )
        )
        last = updates[-1]
        assert isinstance(last, Finished)
        assert last.job.status in known.may_end()
        known.end = str(last.job.status)
        shown = [update for update in updates if isinstance(update, JobEvent)]
        history = list(self.shared.events(job_id, tenant=self.tenant))
        assert not problems(history)
        assert shown == history[after:]

    @rule(number=which)
    def wait(self, number: int) -> None:
        """A job ends as it must, and agrees with its history."""
        if (job_id := self._pick(number)) is None or (self.jobs[job_id].held and not self.jobs[job_id].end):
            return
        job = self.shared.wait(job_id, 30, tenant=self.tenant)
        assert job.status in self.jobs[job_id].may_end()
        self.jobs[job_id].end = str(job.status)

    @invariant()
    def lists_and_counts(self) -> None:
        """The jobs are those that are known, with what was last written to them."""
        found = {job.job_id: job for job in self.shared.list(tenant=self.tenant)}
        assert found.keys() == self.jobs.keys()
        for job_id, known in self.jobs.items():
            job = found[job_id]
            fields = {
                "description": job.spec.description,
                "priority": job.spec.priority,
                "locked": job.locked,
            }
            assert (fields, job.etag) == (known.fields, known.etag)
            if known.end:
                assert job.status == known.end
            elif known.held:
                assert job.status == "PENDING"
        assert self.shared.count(tenant=self.tenant).total == len(self.jobs)

    def teardown(self) -> None:
        """Every job ends, and its history is one that there may be."""
        for job_id, known in self.jobs.items():
            with suppress(WrongStatus):
                self.shared.release(job_id, tenant=self.tenant)
            job = self.shared.wait(job_id, 30, tenant=self.tenant)
            assert job.status in known.may_end()
        with self.server.client(tenant=self.tenant) as client:
            for job_id in self.jobs:
                check_job(client, job_id)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of two workers."""
    with Server(tmp_path, workers=2) as running:
        yield running


@pytest.mark.timeout(figure(900, 7200))  # what fails is made small first
def test_the_server_is_what_callers_know(server: Server) -> None:
    """Whatever callers do in whatever order, each answer, list, count, history and watch is what
    the ones before it have made so.
    """
    with server.client() as client:
        machine = hypothesis.seed(seed())(
            type("Machine", (ServerAgainstCaller,), {"server": server, "shared": client})
        )
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=figure(60, 500),
                stateful_step_count=figure(30, 50),
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
