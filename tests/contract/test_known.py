"""What the commits tell of a job that is watched from before its submit: the same as its row."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

import pytest
from contract.operations import INSTANCE, Clock, claim, finish, submission

from headrace_server.config import Settings
from headrace_server.control.jobs.single import AskedSubmit, Jobs
from headrace_server.control.watch.follow import WatchOptions
from headrace_server.control.watch.hub import Hub, Subscription
from headrace_server.control.watch.known import KEPT_BYTES
from headrace_server.domain import running
from headrace_server.domain.event import Event
from headrace_server.domain.job import ErrorKind, Job, JobError, Progress, Status
from headrace_server.domain.ports.job_types import TypeDefaults
from headrace_server.domain.ports.jobs import Submission
from headrace_server.domain.query import FullJob
from headrace_server.domain.spec import GivenSpec, RetryPolicy, Spec
from headrace_server.domain.updates import Finished, Snapshot
from headrace_server.store import SqlStore
from headrace_server.wiring import limits_of
from headrace_server.work.catalog.registry import Registry

BROKEN = JobError(ErrorKind.EXCEPTION, "it broke", type="ValueError")


class Anything(Registry):
    """Types of any name, whose parameters are what was given."""

    def __init__(self) -> None:
        super().__init__(self.never)

    @staticmethod
    async def never(*_arguments: object, whole: bool) -> NoReturn:
        """No loader is asked."""
        raise AssertionError(whole)

    def defaults(self, type_name: str) -> TypeDefaults:  # noqa: ARG002 - all have the same
        """Those of a type that sets none."""
        return TypeDefaults(RetryPolicy(), None)

    async def check(self, type_name: str, parameters: Any, *, whole: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """As given."""
        return dict(parameters)


@pytest.fixture
def hub(store: SqlStore) -> Hub:
    """A hub that is told of the commits of the store."""
    made = Hub(10)
    store.listeners.append(made)
    return made


@pytest.fixture
def asked() -> Submission:
    """A job that may be tried twice."""
    return submission(retry=RetryPolicy(max_attempts=2, initial_backoff=0), parameters='{"x":1}')


@pytest.fixture
def subscription(hub: Hub, asked: Submission) -> Iterator[Subscription]:
    """A place at it before its submit."""
    with hub.subscribe(asked.job_id, parameters=asked.parameters) as made:
        yield made


async def read(store: SqlStore, asked: Submission) -> FullJob:
    """The job as it is stored."""
    return await store.get(asked.job_id, tenant=asked.tenant, payload=True)


def told(subscription: Subscription) -> FullJob | None:
    """What is known of it."""
    known = subscription.topic.known
    return None if known is None else known.at(subscription.topic.revision)


async def say(store: SqlStore, job: Job, decide: Any, **what: Any) -> None:
    """The run of a job says something."""
    await store.apply(job.job_id, partial(decide, claim=job.claim, instance=INSTANCE, **what))


async def test_what_the_commits_tell_is_what_is_stored(
    store: SqlStore, clock: Clock, asked: Submission, subscription: Subscription
) -> None:
    """Through two attempts, results and progress, with several changes in one commit, what is known
    without reading is the row and the payload.
    """
    await store.submit(asked)
    assert told(subscription) == await read(store, asked)
    (first,) = await claim(store)
    await say(store, first.job, running.set_result, name="early", value="1")
    await say(store, first.job, running.progress, latest=Progress(1, 2, "half", clock.now))
    assert told(subscription) == await read(store, asked)
    await finish(store, first.job, error=BROKEN)
    clock.pass_time(1)
    await store.run_timers()
    (second,) = await claim(store)
    assert told(subscription) == await read(store, asked)
    await say(store, second.job, running.set_result, name="late", value="2")
    await finish(store, second.job, result='"done"')
    known = told(subscription)
    assert known == await read(store, asked)
    assert known is not None
    assert known.job.status is Status.SUCCEEDED
    assert known.payload is not None
    assert (known.payload.result, known.payload.results) == ('"done"', {"late": "2"})


async def test_behind_a_gap_nothing_is_known(
    store: SqlStore, hub: Hub, asked: Submission, subscription: Subscription
) -> None:
    """A commit that was not told here, as one of another instance, ends what is known for good."""
    await store.submit(asked)
    store.listeners.remove(hub)
    (taken,) = await claim(store)
    store.listeners.append(hub)
    await finish(store, taken.job, result='"done"')
    assert subscription.topic.final
    assert told(subscription) is None


async def test_what_is_large_is_not_kept(store: SqlStore, hub: Hub) -> None:
    """Large parameters, and large results, are read when they are wanted."""
    large = '"' + "x" * KEPT_BYTES + '"'
    asked = submission(parameters=f'{{"x":{large}}}')
    with hub.subscribe(asked.job_id, parameters=asked.parameters) as subscription:
        await store.submit(asked)
        assert told(subscription) is None
        (taken,) = await claim(store)
        await finish(store, taken.job)
    asked = submission()
    with hub.subscribe(asked.job_id, parameters=asked.parameters) as subscription:
        await store.submit(asked)
        (taken,) = await claim(store)
        assert told(subscription) is not None
        await finish(store, taken.job, result=large)
        assert told(subscription) is None


async def test_a_job_that_is_to_be_submitted_is_not_gone(hub: Hub, asked: Submission) -> None:
    """The net for missed events does not ask for a job that is not there yet."""
    with hub.subscribe(asked.job_id, parameters=asked.parameters):
        assert not hub.known()


@pytest.fixture
def jobs(store: SqlStore, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The use cases over a store that must not be read."""

    async def unread(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the job was read")

    monkeypatch.setattr(store, "get", unread)
    monkeypatch.setattr(store, "events", unread)
    return Jobs(store, hub, Anything(), limits_of(Settings()), lambda: "new")


def asking(request_id: str = "") -> AskedSubmit:
    """A submit as a caller sends it."""
    return AskedSubmit("default", GivenSpec(Spec("t"), {"x": 1}, has_retry=False), request_id, "", hold=False)


async def work(store: SqlStore) -> None:
    """Run what is ready to its end."""
    (taken,) = await claim(store)
    await finish(store, taken.job, result="3")


async def test_a_run_reads_nothing(store: SqlStore, jobs: Jobs) -> None:
    """A job is submitted, followed and answered as it ended from what was committed alone."""
    updates = [update async for update in _worked(store, jobs)]
    assert isinstance(updates[0], Snapshot)
    assert updates[0].job.job.revision == 1
    events = [update for update in updates if isinstance(update, Event)]
    assert [event.revision for event in events] == list(range(2, 2 + len(events)))
    assert isinstance(updates[-1], Finished)
    assert updates[-1].job.job.revision == events[-1].revision
    assert updates[-1].job.payload is not None
    assert (updates[-1].job.payload.parameters, updates[-1].job.payload.result) == ('{"x":1}', "3")


async def _worked(store: SqlStore, jobs: Jobs) -> Any:
    async for update in jobs.run(asking(), WatchOptions()):
        yield update
        if isinstance(update, Snapshot):
            await work(store)


async def test_a_submit_that_waits_reads_nothing(
    store: SqlStore, hub: Hub, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered with the job as it ended; while it waits it counts as a call that waits."""
    submit = store.submit

    async def submit_and_work(asked: Submission) -> Any:
        answer = await submit(asked)
        await work(store)
        return answer

    monkeypatch.setattr(store, "submit", submit_and_work)
    answer = await jobs.submit(asking(), wait=30)
    assert answer.job.job.status is Status.SUCCEEDED
    assert answer.job.payload is not None
    assert answer.job.payload.result == "3"
    assert (hub.feeds, hub.waits) == (0, 0)


async def test_a_submit_that_waited_does_not_fail(store: SqlStore, hub: Hub, jobs: Jobs) -> None:
    """A server that ends answers it with the job as it stands: nothing asks for a second job."""
    hub.close()
    answer = await jobs.submit(asking(), wait=30)
    assert (answer.job.job.status, answer.existing) == (Status.QUEUED, False)
    assert store.waiting == 1


async def test_a_repeated_submit_waits_for_the_job_that_was_made(store: SqlStore, hub: Hub) -> None:
    """It answers that job as it ended; or as it was found, where the server ends before."""
    ids = iter(("first", "second", "third"))
    jobs = Jobs(store, hub, Anything(), limits_of(Settings()), lambda: next(ids))
    await jobs.submit(asking("r"))
    await work(store)
    again = await jobs.submit(asking("r"), wait=30)
    assert (again.job.job.job_id, again.job.job.status, again.existing) == ("first", Status.SUCCEEDED, True)
    hub.close()
    assert (await jobs.submit(asking("r"), wait=30)) == again
