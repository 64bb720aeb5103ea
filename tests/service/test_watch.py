"""Watching: every event, in order, once, then the end."""

import threading
from pathlib import Path

import pytest

from headrace import AsyncClient, Client, Progress
from headrace.errors import JobNotFound, OutOfRange
from headrace.info import Finished, JobEvent, Snapshot
from support.server import Server, until


def test_watch_of_a_job_that_runs(client: Client) -> None:
    """A watch shows a snapshot, every transition in order, and finished with the result (acceptance
    76, 78).
    """
    job = client.submit("test.report", hold=True)
    watch = job.watch(include_messages=True)
    first = next(watch)
    assert isinstance(first, Snapshot)
    assert first.job.status == "PENDING"
    job.release()
    updates = list(watch)
    events = [update for update in updates if isinstance(update, JobEvent)]
    assert [event.revision for event in events] == list(range(2, 2 + len(events)))
    moves = [str(event.status) for event in events if event.kind == "STATUS_CHANGED"]
    assert moves == ["QUEUED", "TO_BE_RUN", "RUNNING", "SUCCEEDED"]
    assert isinstance(updates[-1], Finished)
    assert updates[-1].job.results == {"rows": 10}


def test_progress_whose_end_lies_beyond_the_calendar(client: Client, gate: Path) -> None:
    """It is shown by every reader without the estimate, and the tenant's lists show the other jobs
    beside it.
    """
    other = client.submit("test.noop")
    other.wait(30)
    job = client.submit("test.far", {"gate": str(gate)}, hold=True)
    watch = job.watch()
    next(watch)  # it has begun: what the job reports comes as an update
    job.release()
    seen = next(update for update in watch if isinstance(update, Progress))
    assert (seen.done, seen.total, seen.estimated_end_time) == (1, 2**63 - 1, None)
    until(lambda: job.refresh().progress, "its progress is stored")
    assert {one.job_id for one in client.list()} == {job.job_id, other.job_id}
    gate.touch()
    ended = job.wait(30)
    assert (ended.status, ended.result) == ("SUCCEEDED", f"progress counts to 2**63 - 1, not to {2**63}")
    assert isinstance(list(watch)[-1], Finished)


def test_event_payload(client: Client) -> None:
    """An event carries job, type, tenant, status, final and revision (acceptance 77)."""
    job = client.submit("test.noop")
    info = job.wait(30)
    last = list(job.events())[-1]
    assert (last.job_id, last.type, last.tenant) == (job.job_id, "test.noop", info.tenant)
    assert (last.status, last.final, last.revision) == ("SUCCEEDED", True, info.revision)


def test_watch_from_the_beginning_equals_the_history(client: Client) -> None:
    """after_revision 0 shows no snapshot and the whole history, as ListJobEvents has it."""
    job = client.submit("test.report")
    job.wait(30)
    updates = list(job.watch(after_revision=0, include_messages=True))
    assert updates[:-1] == list(job.events())
    assert isinstance(updates[-1], Finished)


def test_watch_resumes_behind_a_revision(client: Client) -> None:
    """after_revision shows what came after it, and nothing twice."""
    job = client.submit("test.report")
    job.wait(30)
    whole = list(job.events())
    assert list(job.watch(after_revision=3, include_messages=True))[:-1] == whole[3:]


def test_messages_only_when_asked(client: Client) -> None:
    """Without include_messages a watch leaves messages out and nothing else."""
    job = client.submit("test.report")
    job.wait(30)
    kinds = {update.kind for update in job.watch(after_revision=0) if isinstance(update, JobEvent)}
    assert "MESSAGE_LOGGED" not in kinds
    assert "RESULT_SET" in kinds


def test_watch_beyond_the_job(client: Client) -> None:
    """A revision that the job has not reached is OUT_OF_RANGE."""
    job = client.submit("test.noop", hold=True)
    with pytest.raises(OutOfRange):
        list(job.watch(after_revision=99))
    with pytest.raises(JobNotFound):
        list(client.watch("nowhere"))


def test_watch_of_a_finished_job_ends_at_once(client: Client) -> None:
    """A finished job gives its snapshot and finished."""
    job = client.submit("test.noop")
    job.wait(30)
    assert [type(update) for update in job.watch()] == [Snapshot, Finished]


def test_progress_is_live(client: Client, gate: Path) -> None:
    """A watch shows progress while the job runs (acceptance 25, 76)."""
    job = client.submit("test.report", {"gate": str(gate)}, hold=True)
    watch = job.watch(timeout=30)
    next(watch)
    job.release()
    for update in watch:
        if isinstance(update, Progress) and update.done == 10:
            assert update.percent == 100
            gate.touch()
    assert gate.exists()


def test_wait_answers_at_the_end_or_when_time_is_over(client: Client, gate: Path) -> None:
    """WaitJob answers a job that has ended, and gives up when told (acceptance 78)."""
    job = client.submit("test.report", {"gate": str(gate)})
    with pytest.raises(TimeoutError):
        job.wait(0.2)
    gate.touch()
    assert job.wait(30).final


def test_a_slow_watcher_misses_nothing(client: Client, gate: Path) -> None:
    """A watcher that reads late gets every event, and others are served meanwhile (failure case
    20).
    """
    job = client.submit("test.report", hold=True)
    slow = job.watch(include_messages=True)
    next(slow)
    job.release()
    gate.touch()
    job.wait(30)
    revisions = [update.revision for update in slow if isinstance(update, JobEvent)]
    assert revisions == list(range(2, 2 + len(revisions)))
    assert len(revisions) > 5


def test_watchers_are_freed(client: Client) -> None:
    """A watcher that leaves is forgotten at once (failure case 19)."""
    job = client.submit("test.noop", hold=True)
    watches = [job.watch() for _ in range(5)]
    for watch in watches:
        next(watch)
    assert client.server_info().counters["watchers"] >= 5
    for watch in watches:
        watch.close()
    until(lambda: client.server_info().counters["watchers"] == 0, "no watcher is left")


async def test_async_client_has_the_same_verbs(server: Server) -> None:
    """AsyncClient submits, watches, stops and lists like Client."""
    async with AsyncClient(server.target, tenant="async") as client:
        job = await client.submit("test.report")
        updates = [update async for update in job.watch(include_messages=True)]
        assert isinstance(updates[-1], Finished)
        held = await client.submit("test.noop", hold=True)
        assert (await held.stop()).outcome == "STOPPED"
        assert {found.job_id async for found in client.list()} == {job.job_id, held.job_id}


def test_many_watchers_of_one_job(client: Client, gate: Path) -> None:
    """Fifty watchers of one job all see the same events."""
    job = client.submit("test.report", {"gate": str(gate)})
    seen: list[list[int]] = []

    def follow() -> None:
        updates = client.watch(job.job_id, after_revision=0, include_messages=True)
        seen.append([update.revision for update in updates if isinstance(update, JobEvent)])

    threads = [threading.Thread(target=follow) for _ in range(50)]
    for thread in threads:
        thread.start()
    gate.touch()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 50
    assert {tuple(revisions) for revisions in seen} == {tuple(range(1, len(seen[0]) + 1))}
