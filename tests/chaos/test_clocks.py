"""The clocks of instances are an hour apart, and stepped: leases and stops do not care."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace import Client
from headrace.info import ErrorKind
from support.clocks import Skewed
from support.figures import guard
from support.fleet import LEASE, Fleet, fleet
from support.server import until

pytestmark = pytest.mark.slow

HOUR = 3600
PROMISE = 1.5
"""Leases."""
GRACE = 1.0
"""Seconds."""


@pytest.fixture
def servers(tmp_path: Path, shared_url: str) -> Iterator[Fleet]:
    """Makes servers of one database."""
    with fleet(tmp_path, shared_url) as made:
        yield made


@pytest.mark.parametrize(("skew", "later"), [(HOUR, -HOUR), (-HOUR, HOUR)])
def test_an_hour_off(servers: Fleet, tmp_path: Path, skew: int, later: int) -> None:
    """No early takeover by one whose clock is off or stepped, or from it, and no eternal lease
    (failure case 18).
    """
    off: Any = partial(Skewed, skew=skew)
    first: Any = servers.start("off", off, workers=1)
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
        # Three beats are a lease, almost: one by the clock as it was, one by the other.
        until(lambda: database.execute(pace).fetchone()[0] > begun + 3, "both live")  # type: ignore[index]
        first.step(later)
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


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
def test_a_stop_by_another_clock(servers: Fleet, tmp_path: Path, skew: int) -> None:
    """Asked where the clock is an hour off, a stubborn job is killed when its grace is over: not at
    once, nor in an hour (failure cases 4, 18).
    """
    off: Any = partial(Skewed, skew=skew)
    asked = servers.start("off", off, workers=0)
    runner: Any = servers.start("right", partial(Skewed, skew=0), workers=2)
    with closing(asked.client(timeout=60)) as client, closing(runner.client(timeout=60)) as right:
        once, twice, stepped = (_stubborn(client, tmp_path / name) for name in ("once", "twice", "stepped"))
        _ends_in_time(client, once, tmp_path / "once")
        for name in ("twice", "stepped"):
            until((tmp_path / name).exists, f"{name} runs")
        assert right.stop(twice, grace_period=HOUR).outcome == "STOPPING"
        _ends_in_time(client, twice, tmp_path / "twice")
        assert right.stop(stepped, grace_period=GRACE).outcome == "STOPPING"
        begun = time.monotonic()
        runner.step(skew)
        assert right.wait(stepped, 60).status == "ABORTED"
        assert GRACE - 0.5 < time.monotonic() - begun < GRACE + guard(2)


def _stubborn(client: Client, note: Path) -> str:
    return client.submit("test.stubborn", {"started": str(note)}).job_id


def _ends_in_time(client: Client, job_id: str, note: Path) -> None:
    until(note.exists, "its code runs: one that is RUNNING may end before its code begins")
    begun = time.monotonic()
    stopped = client.stop(job_id, grace_period=GRACE, wait_timeout=30)
    took = time.monotonic() - begun
    assert (stopped.outcome, stopped.job.status) == ("STOPPED", "ABORTED")
    assert stopped.job.stop is not None
    assert stopped.job.stop.confirmed
    assert GRACE - 0.1 < took < GRACE + guard(2)
