"""What becomes of jobs when an instance dies, seen through another."""

from datetime import timedelta
from pathlib import Path

import pytest

from headrace import JobHandle, RetryPolicy
from headrace.info import ErrorKind, Instance, JobInfo
from support.fleet import LEASE, Fleet
from support.postgresql import Server as Postgresql
from support.server import Server, until

pytestmark = pytest.mark.slow

TWICE = RetryPolicy(max_attempts=2, initial_backoff=timedelta(0))


def runs(handle: JobHandle, note: Path) -> JobInfo:
    """The job, once its code has begun."""
    until(note.exists, "the job runs")
    return handle.refresh()


def of(servers: Fleet, instance: str) -> Server:
    """The server whose life this is."""
    return next(one for one in servers.servers.values() if f"-{one.process.pid}-" in instance)


def lives(server: Server) -> dict[int, Instance]:
    """What ListInstances says, by process."""
    with server.client() as client:
        return {one.pid: one for one in client.instances()}


def test_a_killed_instance_is_taken_over(servers: Fleet, tmp_path: Path) -> None:
    """The job of a killed instance runs again on another while attempts are left, and is FAILED as
    INSTANCE_LOST when none are (acceptance 67; failure case 1).
    """
    api = servers.start("api", workers=0)
    for name in ("one", "two"):
        servers.start(name)
    with api.client() as client:
        again, once = tmp_path / "again", tmp_path / "once"
        repeated = client.submit("test.obedient", {"started": str(again)}, retry_policy=TWICE)
        first = runs(repeated, again)
        victim = of(servers, first.instance)
        other = next(one for name, one in servers.servers.items() if name != "api" and one is not victim)
        # Two workers each: fill the other, so that the second job runs where the first does.
        fill = [client.submit("test.obedient", {"started": str(tmp_path / f"fill {n}")}) for n in range(3)]
        for number in range(3):
            until((tmp_path / f"fill {number}").exists, "the others run")
        last = [job.refresh() for job in fill]
        doomed = next(job for job, info in zip(fill, last, strict=True) if info.instance == first.instance)
        victim.kill()
        victim.gone()
        ended = doomed.wait(60)
        assert ended.status == "FAILED"
        assert ended.error is not None
        assert ended.error.kind is ErrorKind.INSTANCE_LOST
        for job in fill:
            if job is not doomed:
                job.stop(wait_timeout=30)
        moved = until(
            lambda: (now := repeated.refresh()).instance != first.instance and now, "it is taken over"
        )
        assert len(moved.attempts) == 2
        assert moved.attempts[0].error.kind is ErrorKind.INSTANCE_LOST
        assert of(servers, moved.instance) is other
        repeated.stop(wait_timeout=30)
        once.touch()


def test_an_instance_tells_what_it_is_doing(servers: Fleet, tmp_path: Path) -> None:
    """ListInstances, asked of any: who lives, what each serves and holds, and who has died
    (acceptance 66).
    """
    api, worker = servers.start("api", workers=0), servers.start("worker", workers=3, queues="mail,default")
    pid = worker.process.pid
    with api.client() as client:
        note = tmp_path / "note"
        job = client.submit("test.obedient", {"started": str(note)}, retry_policy=TWICE)
        runs(job, note)
        seen = lives(api)
        assert seen.keys() == {api.process.pid, pid}
        assert all(one.live for one in seen.values())
        assert (seen[pid].workers, seen[pid].running) == (3, 1)
        assert (seen[api.process.pid].workers, seen[api.process.pid].running) == (0, 0)
        assert "test.obedient" in seen[pid].types
        assert (seen[pid].queues, seen[api.process.pid].queues) == (("default", "mail"), ())
        until(lambda: lives(api)[pid].address == worker.target, "its address is told")
        (kind,) = [one for one in client.types() if one.type == "test.obedient"]
        assert kind.instance_count == 1
        worker.kill()
        until(lambda: not lives(api)[pid].live, "it is held for dead", 5 * LEASE)
        until(lambda: job.refresh().status == "QUEUED", "its job waits")
        assert [one.instance_count for one in client.types() if one.type == "test.obedient"] == [0]
        job.stop()


def test_a_claim_that_was_never_begun_costs_nothing(
    servers: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that a dead instance had claimed and not begun is QUEUED again, its attempts as before
    (acceptance 68).
    """
    api = servers.start("api", workers=0)
    monkeypatch.setenv("SLOW_IMPORT_GATE", str(tmp_path / "never"))  # its workers never come up
    slow = servers.start("slow", jobs="support.jobs,support.slow_import")
    with api.client() as client:
        job = client.submit("test.noop")
        until(lambda: job.refresh().status == "TO_BE_RUN", "it is claimed")
        slow.kill()
        until(lambda: job.refresh().status == "QUEUED", "it is given back", 5 * LEASE)
        assert job.refresh().attempts == ()
        servers.start("other")
        assert job.wait(30).status == "SUCCEEDED"


def test_three_start_at_once_on_an_empty_database(
    servers: Fleet, postgresql: Postgresql, prefix: str
) -> None:
    """One of them makes the tables, the others wait for it; all serve."""
    servers.url = postgresql.create(f"{prefix}_empty")
    try:
        made = [servers.make(name) for name in ("one", "two", "three")]
        for server in made:
            server.launch()
        for server in made:
            until(lambda server=server: server.logged("serving on"), "it serves")  # type: ignore[misc] # mypy knows no defaults of lambdas
        with made[0].client() as client:
            assert client.submit("test.noop").wait(20).status == "SUCCEEDED"
            assert len(client.instances()) == 3
    finally:
        for server in made:
            server.close()
        postgresql.drop(f"{prefix}_empty")
