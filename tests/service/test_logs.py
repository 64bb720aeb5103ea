"""The log: the life of one job is found by its id."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import RetryPolicy
from support.server import Server, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that logs all it can."""
    with Server(tmp_path_factory.mktemp("talkative"), log_level="debug") as running:
        yield running


def life(server: Server, job_id: str, last: str) -> list[dict[str, Any]]:
    """The lines with a job's id, once the last of them is there."""

    def lines() -> list[dict[str, Any]]:
        return [entry for entry in server.log if entry.get("job_id") == job_id]

    until(
        lambda: any(entry["event"].startswith(last) for entry in lines()), f"a line that begins with {last}"
    )
    return lines()


def test_the_life_of_a_job_is_found_by_its_id(talkative: Server) -> None:
    """Each step of a job is a line with its id, and with its attempt once it has one (acceptance
    87).
    """
    policy = RetryPolicy(max_attempts=2, initial_backoff=timedelta(milliseconds=1))
    with talkative.client() as client:
        job = client.submit("test.flaky", {"until": 2}, request_id="call-1", retry_policy=policy)
        job.wait(30)
        client.submit("test.flaky", {"until": 2}, request_id="call-1", retry_policy=policy)
    lines = life(talkative, job.job_id, "submitted again")
    assert [(line["event"], line.get("attempt"), line["level"]) for line in lines] == [
        ("submitted", None, "debug"),
        ("claimed", None, "debug"),
        ("started", 1, "debug"),
        ("attempt failed, to be tried again: 'attempt 1'", 1, "info"),
        ("claimed", 1, "debug"),
        ("started", 2, "debug"),
        ("succeeded", 2, "debug"),
        ("submitted again, with the same request_id", None, "debug"),
    ]
    assert [line.get("request_id") for line in (lines[0], lines[-1])] == ["call-1"] * 2
    assert lines[3]["error_kind"] == "EXCEPTION"
    assert all(line["worker"].startswith("worker-") for line in lines[1:-1])


def test_a_stop_and_an_end_without_success_are_told_at_info(talkative: Server, note: Path) -> None:
    """Who asked what, each step of the escalation, and how it ended: each with job and attempt
    (acceptance 87).
    """
    with talkative.client() as client:
        job = client.submit("test.stubborn", {"started": str(note)})
        until(note.exists, "the job runs")
        job.stop("too\nlong", grace_period=0.2, wait_timeout=30)
    lines = [line for line in life(talkative, job.job_id, "aborted") if line["level"] != "debug"]
    told = [line["event"] for line in lines]
    # The loss is told when it is seen, a step when it is committed: either may be first.
    told.remove("worker lost: killed by signal 9 (SIGKILL)")
    assert told == [
        "stop REQUESTED: 'too\\nlong'",
        "stop TERMINATING: 'too\\nlong'",
        "stop KILLING: 'too\\nlong'",
        "aborted",
    ]
    assert {line["attempt"] for line in lines} == {1}
    assert lines[-1]["status"] == "ABORTED"


def test_a_lost_worker_is_a_warning_with_its_job(talkative: Server) -> None:
    """The loss of a worker names job, attempt and worker; so does the failure that comes of it
    (acceptance 87).
    """
    with talkative.client() as client:
        job = client.submit("test.die", {"how": "exit"})
        job.wait(30)
    lost, failed = life(talkative, job.job_id, "failed")[-2:]
    assert (lost["event"], lost["level"], lost["attempt"]) == (
        "worker lost: exited with code 3",
        "warning",
        1,
    )
    assert (failed["level"], failed["error_kind"], failed["status"]) == ("info", "WORKER_LOST", "FAILED")
    assert lost["worker"] == failed["worker"]


def test_at_info_what_goes_well_is_not_told(tmp_path: Path) -> None:
    """A job that succeeds costs no line at the usual level."""
    with Server(tmp_path, workers=1) as server, server.client() as client:
        job = client.submit("test.noop")
        job.wait(30)
        client.submit("test.fail").wait(30)
        until(lambda: server.logged("failed: "), "the line of the one that failed")
        assert not [entry for entry in server.log if entry.get("job_id") == job.job_id]


def test_what_a_job_logs_is_told_with_its_id(talkative: Server) -> None:
    """Lines of ctx.log are messages of the job, found by its id, with their level and fields
    (acceptance 87).
    """
    with talkative.client() as client:
        job = client.submit("test.logs", {"rows": 3})
        job.wait(30)
        events = [event for event in job.events() if event.kind == "MESSAGE_LOGGED"]
    told = [(event.job_id, event.attempt, str(event.detail.level), event.detail.text) for event in events]
    assert told == [(job.job_id, 1, "WARNING", f"slow {job.job_id} 1 rows=3")]
