"""The clocks of instances are an hour apart: leases do not care."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.info import ErrorKind
from support.clocks import Skewed
from support.figures import guard
from support.fleet import LEASE, Fleet, fleet
from support.server import until

pytestmark = pytest.mark.slow

HOUR = 3600
PROMISE = 1.5
"""Leases."""


@pytest.fixture
def servers(tmp_path: Path, shared_url: str) -> Iterator[Fleet]:
    """Makes servers of one database."""
    with fleet(tmp_path, shared_url) as made:
        yield made


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
def test_an_hour_off(servers: Fleet, tmp_path: Path, skew: int) -> None:
    """No early takeover by one whose clock is off, or from it, and no eternal lease (failure case 18)."""
    off: Any = partial(Skewed, skew=skew)
    first = servers.start("off", off, workers=1)
    parameters = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
    with closing(first.client(timeout=60)) as client:
        job_id = client.submit("test.record", parameters).job_id
        until(lambda: client.get(job_id).status == "RUNNING", "it runs on the one that is off")
    second = servers.start("right", workers=1)
    with (
        psycopg.connect(servers.url, autocommit=True) as database,
        closing(second.client(timeout=60)) as client,
    ):
        pace = "SELECT min(beat) FROM instance WHERE state = 1"
        begun: int = database.execute(pace).fetchone()[0]  # type: ignore[index] # there is one
        # Six beats are two leases, almost.
        until(lambda: database.execute(pace).fetchone()[0] > begun + 6, "both live on")  # type: ignore[index]
        assert database.execute("SELECT count(*) FROM instance WHERE state = 1").fetchone() == (2,)
        assert client.get(job_id).status == "RUNNING"
        assert client.submit("test.echo", {"x": 1}).result(30) == {"x": 1}
        killed = time.monotonic()
        first.kill()
        ended = client.wait(job_id, 60)
        took = time.monotonic() - killed
    assert ended.error is not None
    assert ended.error.kind == ErrorKind.INSTANCE_LOST
    assert took <= guard(PROMISE * LEASE)
    for server in (first, second):
        assert not server.logged("the lease of this instance is lost")
