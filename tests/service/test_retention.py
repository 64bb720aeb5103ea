"""Jobs that have ended are deleted by the server itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace import Client, JobHandle
from headrace.errors import JobNotFound
from support.server import Server, until

pytestmark = pytest.mark.slow

FAST = {"retention_succeeded": 0.2, "sweep_interval": 0.05}


def gone(job: JobHandle) -> bool:
    """Whether the job was deleted."""
    try:
        job.refresh()
    except JobNotFound:
        return True
    return False


def swept(client: Client) -> int:
    """How many jobs the server has deleted by itself."""
    return client.server_info().counters["swept_jobs_total"]


def test_retention_by_status(tmp_path: Path) -> None:
    """A job goes when the time of its status is over, with parameters and history; other statuses
    and locked jobs stay (acceptance 71, 72, 74).
    """
    with Server(tmp_path, **FAST, retention_aborted=0) as server, server.client() as client:
        locked = client.submit("test.echo", {"x": 1}, hold=True)
        locked.update(locked=True)
        locked.release()
        locked.wait(30)
        failed, aborted = client.submit("test.fail"), client.submit("test.noop", hold=True)
        failed.wait(30)
        aborted.stop()
        done = client.submit("test.echo", {"x": 1}, request_id="r")
        until(lambda: gone(done), "the job that succeeded is deleted")
        with pytest.raises(JobNotFound):
            list(done.events())
        with pytest.raises(JobNotFound):  # its request_id is remembered
            client.submit("test.echo", {"x": 1}, request_id="r")
        assert not any(gone(job) for job in (locked, failed, aborted))
        assert swept(client) == 1
        locked.update(locked=False)
        until(lambda: gone(locked), "it goes once it is unlocked")
        assert {job.job_id for job in client.list()} == {failed.job_id, aborted.job_id}


def test_a_server_that_does_not_sweep(tmp_path: Path) -> None:
    """With sweeps=false nothing is deleted, however old it is; with sweeps it goes at the start
    (acceptance 81).
    """
    with Server(tmp_path, **FAST, sweeps=False) as server, server.client() as client:
        job = client.submit("test.noop")
        end = job.wait(30).end_time
        assert end is not None
        until(lambda: datetime.now(UTC) > end + timedelta(seconds=1), "its retention is long over")
        assert not gone(job)
        assert swept(client) == 0
        server.settings["sweeps"] = True
        server.restart()
        until(lambda: gone(job), "it is deleted")
