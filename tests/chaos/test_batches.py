"""A server is killed with SIGKILL at each step of a batch, and started again on the same file."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.info import EventKind
from headrace.options import NewJob
from support.dying_batches import COMMAND, DIE_AT
from support.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.deep]

COUNT = 1_100
"""Six pieces: one comes with the decision, five are staged."""


@pytest.mark.parametrize(
    "step",
    ["Stage 0", "Decide 0", "BringIn 0", "BringIn 3", "BringIn 4"],
)
def test_a_killed_server_leaves_all_jobs_or_none(tmp_path: Path, step: str) -> None:
    """The next life has no job of a batch that was not decided, and all of one that was; the call,
    which goes on by itself, is answered with all of them in order, and each is created once
    (acceptance 3, failure cases 1, 22).
    """
    jobs = [NewJob("test.noop", labels={"n": str(number)}) for number in range(COUNT)]
    made: list[Sequence[str]] = []
    server = Server(tmp_path, workers=0, command=COMMAND)
    server.environment[DIE_AT] = step
    server.start()
    try:
        with server.client(timeout=60, wait_for_ready=True) as client:
            call = threading.Thread(
                target=lambda: made.append(
                    [job.job_id for job in client.batch_submit(jobs, request_id="r", hold=True).jobs]
                )
            )
            call.start()
            assert server.wait() == -9
            del server.environment[DIE_AT]
            server.start()
            call.join(60)
            assert not call.is_alive()
            listed = list(client.list(order_by="CREATE_TIME_ASC", page_size=1000))
            assert [job.job_id for job in listed] == made[0]
            assert [job.spec.labels["n"] for job in listed] == [str(number) for number in range(COUNT)]
            for job_id in (made[0][0], made[0][200], made[0][-1]):
                assert [event.kind for event in client.events(job_id)] == [EventKind.CREATED]
            found = server.logged("batches were under way where an instance has died")
            assert [entry["event"].split()[0] for entry in found] == (["1"] if step != "Stage 0" else [])
            assert client.batch_submit(jobs, request_id="r", hold=True).existing
            assert client.count().total == COUNT
    finally:
        server.close()
