"""An answer means: on disk.

A process is killed after it was answered, and nothing answered is lost.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from contract.operations import claim
from contract.tables import connected

from headrace_server.store import SqlStore

pytestmark = pytest.mark.slow

SUBMIT = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from contract.operations import submission
from headrace_server.store import SqlStore

async def main():
    store = SqlStore.open(sys.argv[1])

    async def submit_for_ever():
        while True:
            answer = await store.submit(submission())
            print(answer.job.job.job_id, flush=True)

    await asyncio.gather(*(submit_for_ever() for _ in range(8)))

asyncio.run(main())
"""


def answered_before_death(url: str) -> list[str]:
    """The ids that a process had said when it was killed in the middle of submitting."""
    arguments = [sys.executable, "-c", SUBMIT, url, str(Path(__file__).parents[1])]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        answered = [process.stdout.readline().strip() for _ in range(300)]
        process.kill()
        # What was already in the pipe had been answered too; a line cut short had not been said.
        return answered + [line.strip() for line in process.stdout if line.endswith("\n")]


async def test_a_killed_process_loses_no_answered_job(url: str, database: str) -> None:
    """Every job whose submit was answered before SIGKILL is there afterwards, whole, and is claimed
    once.
    """
    answered = answered_before_death(url)
    store = SqlStore.open(url)
    with connected(url) as connection:
        if database == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
        jobs = connection.exec_driver_sql("SELECT job_id, revision FROM job ORDER BY job_id").all()
        logged = connection.exec_driver_sql(
            "SELECT job_id, max(revision) FROM job_event GROUP BY job_id ORDER BY job_id"
        ).all()
    assert jobs == logged
    taken = [one.job.job_id for one in await claim(store, len(jobs) + 1)]
    await store.close()
    assert sorted(taken) == [job_id for job_id, _ in jobs]
    assert set(answered) <= set(taken)
