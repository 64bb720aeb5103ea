"""Running: what job code can do and how it may end."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import Client, File, RetryPolicy
from headrace.errors import JobAborted, JobFailed
from support.server import Server, until


def test_run_job_is_one_call(client: Client) -> None:
    """RunJob submits, follows and answers the result (acceptance 7)."""
    seen: list[str] = []
    job = client.run("test.echo", {"x": 1}, on_event=lambda event: seen.append(str(event.status)))
    assert job.result == {"x": 1}
    assert seen[-1] == "SUCCEEDED"


def test_types_are_listed(client: Client) -> None:
    """ListJobTypes shows functions and classes with their schema and description (acceptance 10)."""
    types = {found.type: found for found in client.types()}
    typed = types["test.typed"]
    assert typed.description == "Take typed parameters."
    assert typed.parameters_schema["required"] == ["count"]
    assert types["test.class"].instance_count == 1


def test_a_function_is_a_job(client: Client) -> None:
    """A decorated function runs as a job (acceptance 11)."""
    assert client.submit("test.echo", {"a": 1}).result(30) == {"a": 1}


def test_a_class_is_a_job(client: Client) -> None:
    """A class with run() runs as a job (acceptance 12)."""
    assert client.submit("test.class", {"numbers": [1, 2, 3]}).result(30) == 6


def test_a_coroutine_is_a_job(client: Client) -> None:
    """An async def runs as a job."""
    assert client.submit("test.async").result(30) == "awaited"


def test_report(client: Client) -> None:
    """Named results, messages and a file result are kept and shown (acceptance 20, 21, 22)."""
    job = client.submit("test.report")
    info = job.wait(30)
    assert info.results == {"rows": 10}
    assert info.result == File("file:///data/report.csv", media_type="text/csv", size=12)
    messages = [event.detail.text for event in job.events() if event.kind == "MESSAGE_LOGGED"]
    assert messages == ["begun", "nearly done"]


def test_named_result_is_there_mid_run(client: Client, gate: Path) -> None:
    """A named result can be read while the job runs (acceptance 20)."""
    job = client.submit("test.report", {"gate": str(gate)})
    until(lambda: job.refresh().results == {"rows": 10}, "the result is there")
    assert job.refresh().status == "RUNNING"
    gate.touch()
    job.wait(30)


def test_progress(client: Client) -> None:
    """Ticks make progress with percent and the time of its update (acceptance 23, 25, 27)."""
    info = client.submit("test.report", {"total": 4}).wait(30)
    assert info.progress is not None
    assert (info.progress.done, info.progress.total, info.progress.percent) == (4, 4, 100.0)
    assert info.progress.update_time is not None
    assert info.start_time is not None
    assert info.start_time <= info.progress.update_time


def test_progress_set_directly(client: Client) -> None:
    """Progress can be set with a message (acceptance 24)."""
    info = client.submit("test.class", {"numbers": []}).wait(30)
    assert info.progress is not None
    assert (info.progress.done, info.progress.message) == (1, "added")


def test_stored_progress_is_bounded_and_the_last_is_kept(client: Client) -> None:
    """A thousand ticks write few rows, no event, and the last value always (acceptance 26)."""
    job = client.submit("test.report", {"total": 1000})
    info = job.wait(30)
    assert info.progress is not None
    assert info.progress.done == 1000
    assert info.revision < 12


def test_failure_is_explained(client: Client) -> None:
    """An exception gives kind, type, message, step and traceback (acceptance 28, 34)."""
    job = client.submit("test.fail", {"text": "no such file"})
    with pytest.raises(JobFailed, match="no such file"):
        job.result(30)
    error = job.refresh().error
    assert error is not None
    assert (error.kind, error.type, error.message, error.step) == (
        "EXCEPTION",
        "ValueError",
        "no such file",
        "read",
    )
    assert "raise ValueError(text)" in error.traceback


def test_job_sets_its_own_end(client: Client) -> None:
    """ctx.fail, ctx.abort and ctx.succeed end a job as they say (acceptance 31)."""
    failed = client.submit("test.declare", {"how": "fail"}).wait(30)
    assert failed.status == "FAILED"
    assert failed.error is not None
    assert (failed.error.kind, failed.error.code) == ("DECLARED", "QUOTA")
    aborted = client.submit("test.declare", {"how": "abort"})
    with pytest.raises(JobAborted):
        aborted.result(30)
    assert client.submit("test.declare", {"how": "succeed"}).result(30) == {"early": True}


def test_retry_policy(client: Client) -> None:
    """A failed attempt is repeated with backoff while attempts are left; each attempt is kept."""
    policy = RetryPolicy(max_attempts=3, initial_backoff=timedelta(milliseconds=10))
    job = client.submit("test.flaky", {"until": 3}, retry_policy=policy).wait(30)
    assert job.result == 3
    assert job.error is None
    assert [attempt.error.message if attempt.error else None for attempt in job.attempts] == [
        "attempt 1",
        "attempt 2",
        None,
    ]


def test_timeout(client: Client) -> None:
    """A job that runs longer than its timeout is FAILED(TIMED_OUT)."""
    job = client.submit("test.timeout").wait(30)
    assert job.error is not None
    assert job.error.kind == "TIMED_OUT"


def test_results_that_cannot_be_kept(client: Client) -> None:
    """A result of no Value, or too large, fails the job and says so (failure cases 24, 28)."""
    job = client.submit("test.unserializable").wait(30)
    assert job.error is not None
    assert job.error.kind == "RESULT_NOT_SERIALIZABLE"
    job = client.submit("test.large", {"size": 1 << 20}).wait(30)
    assert job.error is not None
    assert job.error.kind == "RESULT_TOO_LARGE"
    assert len(client.submit("test.large", {"size": 700_000}).result(30)) == 700_000


def test_large_parameters(client: Client) -> None:
    """Parameters of most of a mebibyte reach the job and come back."""
    data = b"\x00" * 700_000
    assert client.submit("test.echo", {"data": data}).result(30) == {"data": data}


def test_output_is_captured(client: Client) -> None:
    """What goes to stdout and stderr by Python, descriptors, subprocesses and C becomes messages
    (failure case 28).
    """
    job = client.submit("test.output")
    job.wait(30)
    logged = {(e.detail.text, str(e.detail.source)) for e in job.events() if e.kind == "MESSAGE_LOGGED"}
    assert logged == {
        ("from print", "STDOUT"),
        ("from a descriptor", "STDERR"),
        ("from a subprocess", "STDOUT"),
        ("from C", "STDOUT"),
    }


@pytest.mark.slow
def test_output_flood_is_capped(client: Client) -> None:
    """A flood of output ends as a bounded history that says how much is missing (failure case 28)."""
    job = client.submit("test.flood", {"lines": 50_000})
    assert job.wait(60).status == "SUCCEEDED"
    kinds = [event.kind for event in job.events()]
    assert kinds.count("MESSAGE_LOGGED") <= 10_000
    assert "MESSAGES_DROPPED" in kinds


@pytest.mark.parametrize(("how", "said"), [("exit", "3"), ("kill", "SIGKILL"), ("segfault", "SIGSEGV")])
def test_crash_harms_one_job(client: Client, how: str, said: str) -> None:
    """A worker that dies fails its job with the cause, and the pool works on (failure cases 2, 3)."""
    job = client.submit("test.die", {"how": how}).wait(30)
    assert job.error is not None
    assert job.error.kind == "WORKER_LOST"
    assert said in job.error.message
    assert client.submit("test.noop").wait(30).status == "SUCCEEDED"


@pytest.mark.parametrize("how", ["return", "raise", "die"])
def test_workspace_is_removed(client: Client, note: Path, how: str) -> None:
    """The private directory is gone after a return, an exception and a kill (acceptance 64)."""
    client.submit("test.workspace", {"how": how, "note": str(note)}).wait(30)
    folder = Path(note.read_text().strip())
    until(lambda: not folder.exists(), "the workspace is removed")


def test_workspace_is_removed_after_a_stop(client: Client, note: Path) -> None:
    """The private directory is gone after a stop too (acceptance 64)."""
    job = client.submit("test.workspace", {"how": "wait", "note": str(note)})
    until(note.exists, "the job uses its workspace")
    job.stop(wait_timeout=30)
    folder = Path(note.read_text().strip())
    until(lambda: not folder.exists(), "the workspace is removed")


def test_worker_identity(client: Client) -> None:
    """A job says which instance and worker ran it (acceptance 57)."""
    job = client.submit("test.noop").wait(30)
    assert job.instance == client.server_info().instance
    assert job.worker.startswith("worker-")


def test_resources_are_made_once(client: Client) -> None:
    """An object that jobs depend on is made once for each worker (acceptance 80)."""
    results = [client.submit("test.resource").result(30) for _ in range(6)]
    for pid in {result["made_in"] for result in results}:
        used = [result["used"] for result in results if result["made_in"] == pid]
        assert sorted(used) == list(range(min(used), min(used) + len(used)))
    assert len({result["made_in"] for result in results}) <= 2


def test_all_dates_and_durations(client: Client) -> None:
    """Every time is there, in UTC and in order, and durations can be read (acceptance 32, 33)."""
    job = client.submit("test.noop").wait(30)
    times = [job.create_time, job.queue_time, job.start_time, job.end_time]
    assert all(time is not None and time.utcoffset() is not None for time in times)
    assert times == sorted(times)  # type: ignore[type-var] # none is None
    assert job.status_time == job.end_time
    assert job.wait_time is not None
    assert job.run_time is not None


def test_orphans_end_with_their_job(client: Client, note: Path) -> None:
    """A process that a job leaves behind, in a session of its own, is gone when the job has ended
    (failure case 5).
    """
    client.submit("test.orphan", {"note": str(note)}).wait(30)
    pid = int(note.read_text())
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_pool_size_and_niceness(tmp_path: Path) -> None:
    """The number of workers and their niceness are settings (acceptance 59, 62)."""
    with Server(tmp_path, workers=3, nice=5) as server, server.client() as client:
        assert client.submit("test.context").result(30)["nice"] == min(19, os.nice(0) + 5)
        assert client.server_info().counters["slots"] == 3


@pytest.mark.slow
def test_throw_away_store(tmp_path: Path) -> None:
    """A store that is not synced runs jobs all the same (acceptance 61)."""
    with Server(tmp_path, durable=False) as server, server.client() as client:
        assert client.submit("test.noop").wait(30).status == "SUCCEEDED"


def test_a_job_starts_with_its_submit(client: Client) -> None:
    """Where a worker is free, the submit itself stores, claims and permits the job: at one time."""

    def directly() -> bool:
        job = client.run("test.noop")
        assert job.start_time is not None
        return job.start_time == job.create_time

    until(directly, "a job has started with its submit")
