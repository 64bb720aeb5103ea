"""What is done with all jobs that match: StopJobs, UpdateJobs and PurgeJobs."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import AsyncClient, Client, JobStatus
from headrace.errors import InvalidArgument, JobNotFound
from headrace.info import PurgeCounts, StopCounts
from headrace.options import JobChanges
from support.server import until

AT_ONCE = timedelta(0)


def ids(client: Client, **filters: object) -> set[str]:
    """The jobs that match."""
    return {job.job_id for job in client.list(**filters)}  # type: ignore[arg-type]


def test_stop_many(client: Client, note: Path) -> None:
    """StopJobs stops those that match and have not ended, by filter or by ids, and counts them;
    validate_only only counts (acceptance 43).
    """
    running = client.submit("test.obedient", {"started": str(note)}, owner="ann")
    until(note.exists, "it runs")
    held = [
        client.submit("test.noop", hold=True, owner=owner).job_id for owner in ("ann", "ann", "bob", "eve")
    ]
    assert client.stop_jobs(owners="ann", validate_only=True) == StopCounts(stopped=2, stopping=1)
    assert ids(client, statuses="PENDING") == set(held)
    assert client.stop_jobs("enough", owners="ann") == StopCounts(stopped=2, stopping=1)
    ended = running.wait(30)
    assert (ended.status, ended.stop and ended.stop.reason) == ("ABORTED", "enough")
    assert client.stop_jobs(job_ids=[held[2], "nowhere"]) == StopCounts(stopped=1)
    assert client.stop_jobs(owners=["ann", "bob"]) == StopCounts()
    assert client.stop_jobs(statuses="ABORTED") == StopCounts()
    assert ids(client, statuses="PENDING") == {held[3]}


def test_update_many(client: Client) -> None:
    """UpdateJobs changes the expiry of all that match and have not ended, so that they expire;
    validate_only only counts (acceptance 46, 47, 49).
    """
    held = [client.submit("test.noop", hold=True, owner=owner) for owner in ("ann", "ann", "bob")]
    held[1].stop()
    now: JobChanges = {"expire_time": timedelta(0)}
    assert client.update_jobs(now, owners="ann", validate_only=True) == 1
    assert held[0].refresh().spec.expire_time is None
    assert client.update_jobs(now, owners="ann") == 1
    ended = held[0].wait(30)
    assert (ended.status, ended.error and ended.error.kind) == ("FAILED", "EXPIRED")
    assert held[2].refresh().status is JobStatus.PENDING
    assert client.update_jobs({"locked": True, "description": "kept"}, types="test.*") == 3
    assert {(job.locked, job.spec.description) for job in client.list()} == {(True, "kept")}
    with pytest.raises(InvalidArgument, match=r"patch\.priority"):
        client.update_jobs({"priority": 2**31 - 1}, owners="ann")
    with pytest.raises(InvalidArgument, match="update_mask"):
        client.update_jobs({}, owners="ann")


def test_purge(client: Client) -> None:
    """PurgeJobs deletes what matches and has ended, counts what is locked or has not, and may be
    repeated (acceptance 71, 73, 74).
    """
    done, locked, other = (client.submit("test.echo", {"x": 1}, owner=o) for o in ("ann", "ann", "bob"))
    for job in (done, locked, other):
        job.wait(30)
    locked.update(locked=True)
    held = client.submit("test.noop", hold=True, owner="ann")
    said = PurgeCounts(purged=1, locked=1, unended=1)
    assert client.purge_jobs(owners="ann", validate_only=True) == said
    assert done.refresh().status is JobStatus.SUCCEEDED
    assert client.purge_jobs(owners="ann") == said
    for forgotten in (done.refresh, lambda: list(done.events())):
        with pytest.raises(JobNotFound):
            forgotten()
    assert client.purge_jobs(owners="ann") == PurgeCounts(locked=1, unended=1)
    assert ids(client) == {locked.job_id, held.job_id, other.job_id}


def test_purge_stops_what_runs(client: Client, note: Path, tmp_path: Path) -> None:
    """With stop_first a job that runs is stopped, cleans up, ends, and only then is deleted; one
    that waits goes at once (acceptance 73).
    """
    cleaned = tmp_path / "cleaned"
    running = client.submit("test.obedient", {"started": str(note), "cleaned": str(cleaned)})
    until(note.exists, "it runs")
    locked = client.submit("test.noop", hold=True)
    locked.update(locked=True)
    held = client.submit("test.noop", hold=True)
    every = {"types": "test.*", "stop_first": True}
    said = PurgeCounts(purged=1, stopping=1, locked=1)
    assert client.purge_jobs(**every, validate_only=True) == said  # type: ignore[arg-type]
    assert client.purge_jobs(**every, wait_timeout=30) == PurgeCounts(purged=2, locked=1)  # type: ignore[arg-type]
    assert cleaned.read_text().split() == ["purged"]
    for job in (running, held):
        with pytest.raises(JobNotFound):
            job.refresh()
    assert ids(client) == {locked.job_id}


def test_purge_that_does_not_wait(client: Client, note: Path) -> None:
    """A job that runs still when a purge answers is there, told to stop, and goes with a later
    purge (acceptance 73).
    """
    job = client.submit("test.stubborn", {"started": str(note)})
    until(note.exists, "it runs")
    every = {"types": "test.*", "stop_first": True}
    assert client.purge_jobs(**every, grace_period=3600) == PurgeCounts(stopping=1)  # type: ignore[arg-type]
    still = job.refresh()
    assert (still.status, still.stop and still.stop.reason) == ("RUNNING", "purged")
    answer = client.purge_jobs(**every, grace_period=AT_ONCE, wait_timeout=30)  # type: ignore[arg-type]
    assert answer == PurgeCounts(purged=1)
    assert ids(client) == set()


def test_tenants_are_apart(client: Client) -> None:
    """Neither reaches into another tenant, by filter or by ids, and "-" is refused (acceptance 51)."""
    job = client.submit("test.noop", hold=True)
    assert client.stop_jobs(tenant="another", job_ids=job.job_id) == StopCounts()
    assert client.purge_jobs(tenant="another", job_ids=job.job_id, stop_first=True) == PurgeCounts()
    for verb in (client.stop_jobs, client.purge_jobs):
        with pytest.raises(InvalidArgument, match="ListJobs and CountJobs"):
            verb(tenant="-", job_ids=job.job_id)
    assert job.refresh().status is JobStatus.PENDING


def test_what_is_refused(client: Client) -> None:
    """An empty filter and a grace period that is too long are refused, each by its field (failure
    case 26).
    """
    for verb in (client.stop_jobs, client.purge_jobs):
        with pytest.raises(InvalidArgument) as refused:
            verb()
        assert [field.field for field in refused.value.fields] == ["filter"]
        with pytest.raises(InvalidArgument, match="grace_period"):
            verb(owners="ann", grace_period=7200)


def test_the_other_client(client: Client) -> None:
    """AsyncClient has the same verbs."""
    held = client.submit("test.noop", hold=True).refresh()

    async def all_methods() -> tuple[int, StopCounts, PurgeCounts]:
        async with AsyncClient(client.target, tenant=held.tenant) as other:
            return (
                await other.update_jobs({"priority": 1}, types="test.noop"),
                await other.stop_jobs(types="test.noop"),
                await other.purge_jobs(types="test.noop"),
            )

    assert asyncio.run(all_methods()) == (1, StopCounts(stopped=1), PurgeCounts(purged=1))
