"""A client inside a job."""

import pytest

from headrace import Client
from headrace_server.parts import reached_at

pytestmark = pytest.mark.slow


def test_a_jobs_own_client_finds_its_own_server(client: Client) -> None:
    """A Client() without an address, in a job, calls the server that runs the job."""
    assert client.submit("test.parent").result(60) == "SUCCEEDED"


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
