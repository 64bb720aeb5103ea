"""What a store has written last is not read again, unless another may have written since."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from contract.operations import Clock, finish, now, run
from contract.tables import connected
from sqlalchemy import update

from headrace_server.domain import requests
from headrace_server.domain.change import Change
from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import ErrorKind, Job, JobError, Kept, Status
from headrace_server.domain.spec import Spec
from headrace_server.store import SqlStore
from headrace_server.store.tables import schema
from headrace_server.store.write.held_jobs import KNOWN_MAX, HeldJobs
from support.faults import LOCKED, Faults, fails

READS = "SELECT job.type, job.description,"


def job_of(name: str, **fields: object) -> Job:
    """A job that was submitted, with these fields of its state."""
    made = requests.create(name, "t", Spec("x"), 1, hold=False).job
    return replace(made, **fields)  # type: ignore[arg-type] # fields of a job


@pytest.mark.only("sqlite")
async def test_a_run_is_not_read_again(tmp_path: Path, template: Path, clock: Clock, database: str) -> None:
    """A submit, a claim and an end read no row of a job; after a write of another connection they
    do, and leave what it has written; after a COMMIT that failed too.
    """
    url = f"{database}:///{shutil.copy(template, tmp_path / 'jobs.db')}"
    faults = Faults()
    with faults.planted():
        store = SqlStore.open(url, durable=False, clock=clock)
        try:
            await run(store)  # from here on its state is known
            faults.arm()
            [job, other] = [await run(store, queue=queue) for queue in ("a", "b")]
            assert READS not in faults.passed
            faults.arm()
            await finish(store, job)
            points = list(faults.passed)
            assert (READS in points, points[-1]) == (False, "COMMIT")
            with connected(url) as connection:
                column = schema.job.c.job_id
                connection.execute(
                    update(schema.job).where(column == other.job_id).values(description="by another")
                )
                connection.commit()
            faults.arm()
            ended = (await finish(store, other)).job
            assert READS in faults.passed
            assert (ended.description, ended.status) == ("by another", Status.SUCCEEDED)
            assert await now(store, ended) == ended
            third = await run(store)
            for at, read in ((2, False), (len(points), True)):
                faults.arm(at, fails(LOCKED))
                with pytest.raises(StoreUnavailable, match="locked"):
                    await finish(store, third)
                assert faults.struck == points[at - 1]
                faults.arm()
                await store.apply(third.job_id, lambda job, _now: Change(job))
                assert (READS in faults.passed) == read
            assert (await finish(store, third)).job.status is Status.SUCCEEDED
        finally:
            faults.arm()
            await store.close()


def test_what_is_known() -> None:
    """Only what a batch has written in a known state; not what has ended, failed before, or holds
    parts that were kept; the latest so many.
    """
    held, file = HeldJobs(), object()
    held.since(None)
    held.committed([Change(job_of("early"))])
    assert not held.since((file, 1))
    failed = JobError(ErrorKind.EXCEPTION, "x")
    kept = (Kept("labels", "?", {}, legible=True),)
    held.committed(
        map(
            Change,
            [
                job_of("queued"),
                job_of("runs", status=Status.RUNNING),
                job_of("ended", status=Status.SUCCEEDED, end_time=5),
                job_of("failed", error=failed),
                job_of("kept", kept=kept),
            ],
        )
    )
    assert set(held.since((file, 1))) == {"queued", "runs"}
    held.committing(["runs"])
    held.committed([Change(job_of("runs", status=Status.ABORTED, end_time=5))])
    assert set(held.since((file, 1))) == {"queued"}
    assert not held.since((file, 2))
    held.committed(Change(job_of(f"{number}")) for number in range(KNOWN_MAX + 2))
    assert list(held.since((file, 2)))[:2] == ["2", "3"]
    assert len(held.since((file, 2))) == KNOWN_MAX
    assert not held.since(None)
