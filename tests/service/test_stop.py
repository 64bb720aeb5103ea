"""Stopping: what each stop comes to, and that it is true."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import Client, RetryPolicy
from headrace.errors import JobNotFound, WrongStatus
from support import late_answers
from support.figures import guard
from support.server import Server, until


def phases(client: Client, job_id: str) -> list[str]:
    """The phases of a job's stop, as its history has them."""
    return [str(event.detail.phase) for event in client.events(job_id) if event.kind == "STOP_CHANGED"]


def test_stop_of_a_held_job(client: Client) -> None:
    """A held job is ABORTED at once (acceptance 42, 44, failure case 4)."""
    job = client.submit("test.noop", hold=True)
    result = job.stop("not needed", requested_by="ada")
    assert result.outcome == "STOPPED"
    assert result.job.status == "ABORTED"
    assert result.job.stop is not None
    assert (result.job.stop.reason, result.job.stop.requested_by, result.job.stop.confirmed) == (
        "not needed", "ada", True,
    )  # fmt: skip
    with pytest.raises(WrongStatus):
        job.release()


def test_stop_of_a_queued_job(client: Client, note: Path) -> None:
    """A queued job is ABORTED at once and none of its code runs (acceptance 44, failure case 4)."""
    job = client.submit("test.record", {"log": str(note)}, run_after=timedelta(hours=1))
    assert job.stop().outcome == "STOPPED"
    assert not note.exists()


@pytest.mark.slow
def test_stop_of_a_claimed_job(tmp_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is claimed and not yet permitted is ABORTED at once (acceptance 44, failure case
    4).
    """
    monkeypatch.setenv("SLOW_IMPORT_GATE", str(gate))
    with Server(tmp_path, jobs="support.slow_import", workers=1) as server, server.client() as client:
        job = client.submit("slow.noop")
        until(lambda: job.refresh().status == "TO_BE_RUN", "the job is claimed")
        result = job.stop()
        assert (result.outcome, result.job.status, result.job.attempts) == ("STOPPED", "ABORTED", ())
        gate.touch()
        assert client.submit("slow.noop").wait(30).status == "SUCCEEDED"
        assert job.refresh().attempts == ()


@pytest.mark.slow
def test_stop_of_a_permitted_job(tmp_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job stopped behind the commit of its permit and before its answer runs no code (acceptance
    44, failure case 4).
    """
    monkeypatch.setenv("SLOW_IMPORT_GATE", str(gate))
    server = Server(tmp_path, jobs="support.slow_import", workers=1, command=late_answers.COMMAND)
    with server, server.client() as client:
        job = client.submit("slow.noop")
        until(lambda: job.refresh().status == "TO_BE_RUN", "the job is claimed")
        gate.touch()
        until(lambda: job.refresh().status == "RUNNING", "the job is permitted")
        assert job.stop(wait_timeout=30).job.status == "ABORTED"
        assert phases(client, job.job_id) == ["REQUESTED", "ENDED"]


def test_stop_of_an_obedient_job(client: Client, note: Path, tmp_path: Path) -> None:
    """A running job sees the flag and the reason, and can clean up (acceptance 42, 44, failure case
    4).
    """
    cleaned = tmp_path / "cleaned"
    job = client.submit("test.obedient", {"started": str(note), "cleaned": str(cleaned)})
    until(note.exists, "the job runs")
    result = job.stop("enough", wait_timeout=30)
    assert (result.outcome, result.job.status) == ("STOPPED", "ABORTED")
    assert cleaned.read_text() == "enough\n"
    assert phases(client, job.job_id) == ["REQUESTED", "DELIVERED", "ENDED"]


@pytest.mark.slow
def test_sigterm_wakes_a_sleeper(client: Client, note: Path) -> None:
    """A job that sleeps is woken by SIGTERM, before the kill."""
    job = client.submit("test.sleeper", {"started": str(note)})
    until(note.exists, "the job runs")
    assert job.stop(grace_period=4, wait_timeout=30).outcome == "STOPPED"
    assert phases(client, job.job_id) == ["REQUESTED", "DELIVERED", "TERMINATING", "ENDED"]


def test_an_awaiting_job_is_stopped(client: Client, note: Path) -> None:
    """A coroutine that awaits is stopped by the flag alone."""
    job = client.submit("test.async", {"started": str(note)})
    until(note.exists, "the job runs")
    assert job.stop(grace_period=60, wait_timeout=30).outcome == "STOPPED"


def test_job_that_ignores_everything(client: Client, note: Path, tmp_path: Path) -> None:
    """A job deep in C that ignores signals, and its setsid child, are gone within 2 s of the grace
    period (failure cases 4, 5).
    """
    child = tmp_path / "child"
    job = client.submit("test.stubborn", {"started": str(note), "grandchild": str(child)})
    until(note.exists, "the job runs")
    asked = time.monotonic()
    result = job.stop(grace_period=1, wait_timeout=30)
    took = time.monotonic() - asked
    assert (result.outcome, result.job.status) == ("STOPPED", "ABORTED")
    assert 0.9 < took < 1 + guard(2)
    assert phases(client, job.job_id) == ["REQUESTED", "DELIVERED", "TERMINATING", "KILLING", "ENDED"]
    assert not Path(f"/proc/{int(child.read_text())}").exists()


@pytest.mark.slow
def test_neighbours_of_a_stubborn_job_work_on(client: Client, note: Path) -> None:
    """While a job ignores its stop, the other worker goes on: dozens of jobs end meanwhile (failure
    case 4).
    """
    job = client.submit("test.stubborn", {"started": str(note)})
    until(note.exists, "the job runs")
    job.stop(grace_period=600)
    for _ in range(21):
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"
    assert job.refresh().status == "RUNNING"
    job.stop(grace_period=1.5)
    while job.refresh().status == "RUNNING":
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"


def test_kill_at_once(client: Client, note: Path) -> None:
    """A grace period of 0 kills now."""
    job = client.submit("test.stubborn", {"started": str(note)})
    until(note.exists, "the job runs")
    assert job.stop(grace_period=0, wait_timeout=30).outcome == "STOPPED"
    assert "TERMINATING" not in phases(client, job.job_id)


def test_second_stop_brings_the_kill_forward(client: Client, note: Path) -> None:
    """A later stop with less grace kills sooner, and asking twice is harmless."""
    job = client.submit("test.stubborn", {"started": str(note)})
    until(note.exists, "the job runs")
    assert job.stop(grace_period=3600).outcome == "STOPPING"
    assert job.stop(grace_period=3600).outcome == "STOPPING"
    assert job.stop(grace_period=0, wait_timeout=30).outcome == "STOPPED"


def test_a_job_may_insist(client: Client, note: Path) -> None:
    """A job that calls ctx.succeed after a stop is SUCCEEDED: FINISHED_FIRST (failure case 23)."""
    job = client.submit("test.insist", {"started": str(note)})
    until(note.exists, "the job runs")
    result = job.stop(wait_timeout=30)
    assert (result.outcome, result.job.result) == ("FINISHED_FIRST", "saved")


def test_a_return_that_never_saw_the_stop(client: Client, note: Path, gate: Path) -> None:
    """A job that returns without having noticed its stop is SUCCEEDED (failure case 23)."""
    job = client.submit("test.unaware", {"started": str(note), "gate": str(gate)})
    until(note.exists, "the job runs")
    assert job.stop(grace_period=3600).outcome == "STOPPING"
    gate.touch()
    assert job.wait(30).status == "SUCCEEDED"


def test_stop_of_a_finished_or_unknown_job(client: Client) -> None:
    """A finished job is ALREADY_FINISHED and unchanged; an unknown one NOT_FOUND (acceptance 30,
    45).
    """
    job = client.submit("test.noop")
    before = job.wait(30)
    result = job.stop()
    assert result.outcome == "ALREADY_FINISHED"
    assert result.job == before
    with pytest.raises(JobNotFound):
        client.stop("nowhere")


def test_a_stop_forbids_another_attempt(client: Client, note: Path) -> None:
    """A stopped job with attempts left is ABORTED, not queued again."""
    job = client.submit("test.stubborn", {"started": str(note)}, retry_policy=RetryPolicy(max_attempts=5))
    until(note.exists, "the job runs")
    assert job.stop(grace_period=0, wait_timeout=30).job.status == "ABORTED"
    assert len(job.refresh().attempts) == 1


def test_stop_races_the_end(client: Client) -> None:
    """Whenever a stop comes, there is one terminal status and the answer agrees with it (failure
    case 23).
    """
    seen = set()
    for number in range(60):
        job = client.submit("test.noop")
        time.sleep(number % 12 / 4000)  # the race itself: every phase of so short a job is hit somewhere
        result = job.stop(wait_timeout=30)
        seen.add(str(result.outcome))
        expected = {"STOPPED": "ABORTED"}.get(str(result.outcome), "SUCCEEDED")
        assert result.job.status == expected
        assert job.refresh() == result.job
    assert len(seen) > 1


def test_stops_outlive_the_stopper(server: Server, note: Path) -> None:
    """A stop goes on after the client that asked has left."""
    with server.client() as first:
        job_id = first.submit("test.stubborn", {"started": str(note)}).job_id
        until(note.exists, "the job runs")
        first.stop(job_id, grace_period=0.2)
    with server.client() as second:
        assert second.wait(job_id, 30).status == "ABORTED"
