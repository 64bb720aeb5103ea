"""A client inside a job."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from headrace import Client
from headrace.info import JobEvent, LoggedMessage
from headrace_server.parts import reached_at
from support.server import Server

pytestmark = pytest.mark.slow


def test_a_jobs_own_client_finds_its_own_server(client: Client) -> None:
    """A Client() without an address, in a job, calls the server that runs the job."""
    assert client.submit("test.parent").result(60) == "SUCCEEDED"


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a single worker."""
    folder = tmp_path_factory.mktemp("lonely")
    with Server(folder, "support.parent_jobs", workers=1, heartbeat_interval=0.2) as server:
        yield server


@pytest.mark.parametrize("how", ["wait", "watch"])
def test_a_parent_on_the_last_worker_is_told_so(lonely: Server, how: str) -> None:
    """A job that waits for another on the only worker has a message that says what keeps both; the
    other runs when it is gone.
    """
    with lonely.client() as client:
        parent = client.submit("parent.waits", {"how": how})
        with closing(parent.watch(include_messages=True, timeout=60)) as updates:
            events = (update.detail for update in updates if isinstance(update, JobEvent))
            said = next(detail.text for detail in events if isinstance(detail, LoggedMessage))
        (child,) = client.list(types=["parent.child"], statuses=["QUEUED"])
        assert f"This job waits for job {child.job_id}, which has been QUEUED" in said
        assert "Start the server with more --workers" in said
        parent.stop("seen", grace_period=0)
        assert client.wait(child.job_id, 60).status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("listens", "called"),
    [
        ("127.0.0.1:7", "127.0.0.1:7"),
        ("0.0.0.0:7", "127.0.0.1:7"),
        ("[::]:7", "[::1]:7"),
        ("[::1]:7", "[::1]:7"),
        ("jobs.internal:7", "jobs.internal:7"),
    ],
)
def test_where_a_server_is_called_from_its_own_machine(listens: str, called: str) -> None:
    """An address that means every interface is called by loopback."""
    assert reached_at(listens) == called
