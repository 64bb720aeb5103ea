"""A job that waits for another job, which waits for its worker."""

import pytest
from client.scripted import heartbeat, job, snapshot

from headrace._flows.blocked import WORKER_VARIABLE
from headrace._flows.wait import Wait
from headrace._flows.watch import Watch
from headrace._requests import convert
from headrace.v1 import job_service_pb2 as pb


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def waited(clock: Clock, status: str) -> None:
    """Wait for a job that stays as it is, by both ways."""
    wait = Wait("t", "j1", timeout=None, patience=60, clock=clock)
    watch = Watch(pb.WatchJobRequest(job_id="j1"), timeout=None, patience=60, clock=clock)
    watch.received(snapshot(status))
    for _ in range(3):
        clock.now += wait.request().server_wait
        wait.answered(convert.job(job(status)))
        watch.received(heartbeat(3))


def test_it_is_told_what_keeps_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """In a worker, a wait for a job that stays QUEUED says once each that the worker may be what it
    waits for.
    """
    monkeypatch.setenv(WORKER_VARIABLE, "1")
    waited(Clock(), "QUEUED")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("waits for job j1, which has been QUEUED for 5 s" in text for text in said)
    assert all("--workers" in text for text in said)


@pytest.mark.parametrize(("inside", "status"), [(True, "RUNNING"), (False, "QUEUED")])
def test_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inside: bool, status: str
) -> None:
    """A job that runs, or a wait outside of a worker, is worth no line."""
    monkeypatch.delenv(WORKER_VARIABLE, raising=False)
    if inside:
        monkeypatch.setenv(WORKER_VARIABLE, "1")
    waited(Clock(), status)
    assert not caplog.records
