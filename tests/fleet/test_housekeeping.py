"""Housekeeping where several instances share a database: one of them at a time, and for the jobs of
all.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace import Client
from headrace.errors import JobNotFound
from headrace.info import Finished, PurgeCounts
from support.fleet import Fleet
from support.server import Server, until

pytestmark = pytest.mark.slow

FAST = {"retention_succeeded": 0.2, "sweep_interval": 0.1}


def swept(server: Server) -> int:
    """How many jobs this instance has deleted by itself."""
    with server.client() as client:
        return client.server_info().counters["swept_jobs_total"]


def test_each_job_is_swept_by_one_instance(servers: Fleet) -> None:
    """Of instances that sweep, one deletes each job, an instance with sweeps=false none; when one
    is killed the other goes on (acceptance 72, 75, 81).
    """
    api = servers.start("api", workers=0, sweeps=False, **FAST)
    fleet = [servers.start(name, **FAST) for name in "ab"]
    with api.client() as client:
        jobs = 60
        for _ in range(jobs):
            client.submit("test.noop")
        until(lambda: not list(client.list()), "all jobs have run and are deleted")
        shares = [swept(server) for server in fleet]
        print(f"shares {shares}")
        assert (sum(shares), swept(api)) == (jobs, 0)
        fleet[shares.index(max(shares))].kill()
        client.submit("test.noop")
        until(lambda: not list(client.list()), "the other sweeps")


def test_a_purge_reaches_the_instance_that_runs_the_job(servers: Fleet, tmp_path: Path) -> None:
    """PurgeJobs on an instance that has no workers stops a job that runs elsewhere, and deletes it
    once it has ended (acceptance 73).
    """
    api = servers.start("api", workers=0)
    servers.start("worker")
    started, cleaned = tmp_path / "started", tmp_path / "cleaned"
    with api.client() as client:
        job = client.submit("test.obedient", {"started": str(started), "cleaned": str(cleaned)})
        until(started.exists, "it runs")
        done = client.purge_jobs(types="test.*", stop_first=True, wait_timeout=30)
        assert done == PurgeCounts(purged=1)
        assert cleaned.read_text().split() == ["purged"]
        with pytest.raises(JobNotFound):
            job.refresh()


def last(client: Client, job_id: str) -> str:
    """How a watch of a job ends."""
    try:
        *_, update = client.watch(job_id, timeout=30)
    except JobNotFound:
        return "not found"
    return "finished" if isinstance(update, Finished) else "cut"


def test_a_watch_elsewhere_ends_with_a_purge(servers: Fleet) -> None:
    """Who watches a job on one instance that another purges is told of its end, or that it is gone:
    the watch does not stay.
    """
    one, other = (servers.start(name, workers=0) for name in "ab")
    with one.client() as watching, other.client() as purging, ThreadPoolExecutor(20) as threads:
        for _ in range(5):
            jobs = [purging.submit("test.noop", hold=True).job_id for _ in range(20)]
            before = watching.server_info().counters["watchers"]
            ends = [threads.submit(last, watching, job_id) for job_id in jobs]
            until(lambda: watching.server_info().counters["watchers"] >= before + 20, "all watch")  # noqa: B023
            assert purging.purge_jobs(types="test.*", stop_first=True) == PurgeCounts(purged=20)
            print(sorted(end.result() for end in ends))
            assert {end.result() for end in ends} <= {"finished", "not found"}
            until(lambda: watching.server_info().counters["watchers"] == 0, "no watch is left")
