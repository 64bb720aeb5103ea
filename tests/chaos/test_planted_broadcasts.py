"""Bugs planted in the publisher of the running product: the judge of broadcasts finds each, and
says what it is.
"""

from pathlib import Path

import pytest

from headrace.info import JobStatus
from support.broadcast_bugs import Planted
from support.broadcast_judge import Unlike, histories, judge
from support.listener import Listener
from support.rabbitmq import Broker
from support.server import until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("ConfirmsFirst", r"revision 1 \(created\) was lost"),
        ("Overtakes", r"revision 1 came for the first time after \d"),
        ("CountsUp", r"says that \d comes before it, and 3 does"),
    ],
)
def test_a_bug_is_found(bug: str, found: str, own_rabbitmq: Broker, tmp_path: Path) -> None:
    """An event that is gone before it was confirmed, one that overtakes another, a chain with a
    foot in nothing (failure case 13).
    """
    tmp_path.joinpath("server").mkdir()
    with (
        Listener(own_rabbitmq.url) as listener,
        Planted(tmp_path / "server", bug, amqp_url=own_rabbitmq.url) as server,
        server.client() as client,
    ):
        until(lambda: server.logged("events go to the exchange"), "it is connected")
        with own_rabbitmq.alarm():
            job = client.submit("test.output")  # it logs what it prints
            assert job.wait(30).status == JobStatus.SUCCEEDED
            until(lambda: server.logged("the broker takes nothing now"), "it was to be sent")
            if bug == "ConfirmsFirst":
                own_rabbitmq.kill()
                own_rabbitmq.start()
        until(lambda: not client.server_info().counters["events_pending"], "nothing is to be sent any more")
        until(lambda: len(listener.messages) >= 4 or bug == "ConfirmsFirst", "all that is sent has come")
        with pytest.raises(Unlike, match=found):
            judge(listener.messages, histories(server.target, [job.job_id]))
