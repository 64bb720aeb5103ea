"""The server that tests of other services start."""

from pathlib import Path

import pytest

from headrace import Client
from headrace_server.testing import LocalServer, ServerEnded

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]


def test_clean_and_restart(tmp_path: Path) -> None:
    """A test can start a server, and start it again clean: no jobs, new workers, the same address
    (acceptance 83).
    """
    with LocalServer(tmp_path, ["support.jobs"], path=[TESTS]) as server, Client(server.target) as client:
        first = client.submit("test.context").result(30)
        before = server.target
        server.restart()
        assert client.count().total == 1
        server.restart(clean=True)
        assert (server.target, client.count().total) == (before, 0)
        assert client.submit("test.context").result(30)["pid"] != first["pid"]
    assert server.process.returncode == 0


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Settings that are refused end the start with the server's own words."""
    with pytest.raises(ServerEnded, match="workers"):
        LocalServer(tmp_path, workers=-1).start()
