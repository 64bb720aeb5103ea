"""What a change answers when its job is deleted before it is read again, as retention may do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from contract.operations import end, never_asked, submit

from headrace_server.config import Settings
from headrace_server.control.jobs.single import Jobs
from headrace_server.control.watch.hub import Hub
from headrace_server.domain.errors import JobNotFound
from headrace_server.domain.job import Job, Status
from headrace_server.domain.query import FullJob
from headrace_server.store import SqlStore
from headrace_server.wiring import limits_of
from headrace_server.work.catalog.registry import Registry


@pytest.fixture
def jobs(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The use cases over a store that loses a job whenever it is about to be read."""
    read = store.get

    async def lost(job_id: str, **given: Any) -> FullJob:
        await store.delete(job_id, tenant="default")
        return await read(job_id, **given)

    monkeypatch.setattr(store, "get", lost)
    return Jobs(store, Hub(10), Registry(never_asked), limits_of(Settings()), lambda: "id")


async def update(jobs: Jobs, job: Job) -> FullJob:
    """Describe it."""
    return await jobs.update("default", job.job_id, fields={"description": "new"}, etag="")


async def stop(jobs: Jobs, job: Job) -> FullJob:
    """Stop it."""
    return (await jobs.stop("default", job.job_id, reason="", grace=0, wait=0, requested_by=""))[1]


@pytest.mark.parametrize(
    ("make", "change", "left"),
    [(end, update, ("new", Status.SUCCEEDED)), (submit, stop, ("", Status.ABORTED))],
)
async def test_what_was_done_is_answered(
    store: SqlStore,
    jobs: Jobs,
    make: Callable[[SqlStore], Awaitable[Job]],
    change: Callable[[Jobs, Job], Awaitable[FullJob]],
    left: tuple[str, Status],
) -> None:
    """The job is answered as the change left it, not NOT_FOUND, which would say that nothing was
    done; only the next call is told so.
    """
    job = await make(store)
    answered = await change(jobs, job)
    assert (answered.job.description, answered.job.status) == left
    assert answered.payload is None
    with pytest.raises(JobNotFound):
        await jobs.release("default", job.job_id)
