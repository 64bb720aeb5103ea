"""run(): submit, follow, end; and what becomes of the job when its caller leaves."""

import asyncio
from typing import Any

import grpc
import pytest
from client.scripted import Failure, Hang, ScriptedServer, event, finished, job, progress, snapshot

from headrace import AsyncClient, Client, errors
from headrace.v1 import job_service_pb2 as pb

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)


class Leave(BaseException):
    """What a test leaves with, as Ctrl-C would."""


def leave(_: Any) -> None:
    """A callback that has had enough."""
    raise Leave


def ignore(_: Any) -> None:
    """A callback that wants to be told, so that there is a stream."""


def answer(status: str) -> pb.SubmitJobResponse:
    """What SubmitJob answers."""
    return pb.SubmitJobResponse(job=job(status))


def test_a_run_returns_the_job_as_it_ended(client: Client, server: ScriptedServer) -> None:
    """The callbacks are told in order, and the end is answered."""
    server.on("RunJob", [snapshot("QUEUED", 1), event(2), progress(5), event(3), finished("FAILED")])
    told = []
    ended = client.run(
        "demo",
        {"n": 1},
        owner="me",
        on_submitted=lambda job: told.append(job.job_id),
        on_event=lambda event: told.append(event.revision),
        on_progress=lambda progress: told.append(progress.done / 10),
    )
    assert told == ["j1", 2, 0.5, 3]
    assert ended.status == "FAILED"
    request = server.requests["RunJob"][0]
    assert (request.tenant, request.spec.type, request.spec.owner) == ("acme", "demo", "me")
    assert request.spec.parameters["n"].int_value == 1


def test_a_run_that_is_cut_goes_on_as_the_same_job(client: Client, server: ScriptedServer) -> None:
    """Before the snapshot the same RunJob is sent again; after it WatchJob resumes."""
    server.on("RunJob", [UNAVAILABLE], [snapshot(revision=1), event(2), UNAVAILABLE])
    server.on("WatchJob", [event(3), finished()])
    assert client.run("demo", on_event=ignore).status == "SUCCEEDED"
    first, second = server.requests["RunJob"]
    assert first.request_id == second.request_id != ""
    assert server.requests["WatchJob"][0].after_revision == 2


def test_a_run_can_raise_for_a_job_without_success(client: Client, server: ScriptedServer) -> None:
    """raise_on_failure gives JobFailed or JobAborted, with the job."""
    error = {"kind": "KIND_EXCEPTION", "type": "ValueError", "message": "no such file"}
    server.on("RunJob", [snapshot(), finished("FAILED", error=error)], [finished("ABORTED")])
    with pytest.raises(errors.JobFailed, match=r"j1 \(demo\) failed: ValueError: no such file\.") as raised:
        client.run("demo", raise_on_failure=True, on_event=ignore)
    assert raised.value.job.error.type == "ValueError"
    with pytest.raises(errors.JobAborted):
        client.run("demo", raise_on_failure=True, on_event=ignore)


def test_a_caller_that_leaves_leaves_the_job_alone(client: Client, server: ScriptedServer) -> None:
    """Without stop_on_exit nothing is stopped."""
    server.on("RunJob", [snapshot(), event(4), Hang()])
    with pytest.raises(Leave):
        client.run("demo", on_event=leave)
    assert not server.requests["StopJob"]


def test_a_caller_that_leaves_can_stop_the_job(client: Client, server: ScriptedServer) -> None:
    """With stop_on_exit the job is stopped, and the exception goes on."""
    server.on("RunJob", [snapshot(), event(4), Hang()])
    server.on("StopJob", pb.StopJobResponse(job=job("ABORTED")))
    with pytest.raises(Leave):
        client.run("demo", on_event=leave, stop_on_exit=True)
    request = server.requests["StopJob"][0]
    assert (request.tenant, request.job_id) == ("acme", "j1")
    assert "Leave" in request.reason


def test_a_job_that_was_not_known_yet_is_stopped_too(client: Client, server: ScriptedServer) -> None:
    """A caller that leaves before any answer learns the job by its request_id, and stops it."""
    server.on("RunJob", [Hang()])
    server.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED"), existing=True))
    server.on("StopJob", pb.StopJobResponse(job=job("ABORTED")))
    with pytest.raises(errors.DeadlineExceeded):
        client.run("demo", timeout=0.3, stop_on_exit=True, on_event=ignore)
    assert server.requests["SubmitJob"][0].request_id == server.requests["RunJob"][0].request_id
    assert server.requests["StopJob"][0].job_id == "j1"


def test_a_job_that_has_ended_is_not_stopped(client: Client, server: ScriptedServer) -> None:
    """What goes wrong after the end stops nothing."""
    server.on("RunJob", [finished("FAILED")])
    with pytest.raises(errors.JobFailed):
        client.run("demo", stop_on_exit=True, raise_on_failure=True, on_event=ignore)
    assert not server.requests["StopJob"]


def test_a_stop_that_fails_does_not_hide_why_the_caller_left(client: Client, server: ScriptedServer) -> None:
    """The exception of the caller comes through."""
    server.on("RunJob", [snapshot(), event(4), Hang()])
    server.on("StopJob", Failure(grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"))
    with pytest.raises(Leave):
        client.run("demo", on_event=leave, stop_on_exit=True)


async def test_a_cancelled_task_stops_its_job_and_stays_cancelled(server: ScriptedServer) -> None:
    """Cancelling a task inside run() is CancelledError, after the stop."""
    server.on("RunJob", [snapshot(), Hang()])
    server.on("StopJob", pb.StopJobResponse(job=job("ABORTED")))
    submitted = asyncio.Event()
    async with AsyncClient(server.target) as client:
        task = asyncio.create_task(
            client.run("demo", on_submitted=lambda _: submitted.set(), stop_on_exit=True)
        )
        await asyncio.wait_for(submitted.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "CancelledError" in server.requests["StopJob"][0].reason


def test_a_run_without_listeners_is_one_submit(client: Client, server: ScriptedServer) -> None:
    """The submit waits for the end, and nothing else is asked."""
    server.on("SubmitJob", answer("SUCCEEDED"))
    assert client.run("demo", {"n": 1}, owner="me", timeout=30).status == "SUCCEEDED"
    (request,) = server.requests["SubmitJob"]
    assert (request.tenant, request.spec.type, request.spec.owner) == ("acme", "demo", "me")
    assert request.request_id
    assert 20 < request.wait_timeout.ToTimedelta().total_seconds() <= 30
    assert set(server.requests) == {"SubmitJob"}


async def test_so_it_is_with_asyncio(server: ScriptedServer) -> None:
    """AsyncClient makes the same call."""
    server.on("SubmitJob", answer("SUCCEEDED"))
    async with AsyncClient(server.target) as client:
        assert (await client.run("demo")).status == "SUCCEEDED"
    assert set(server.requests) == {"SubmitJob"}


def test_a_submit_that_is_cut_is_repeated_and_waited_for(client: Client, server: ScriptedServer) -> None:
    """The same submit is sent again; a job that has not ended when it is answered is waited for."""
    server.on("SubmitJob", UNAVAILABLE, answer("QUEUED"))
    server.on("WaitJob", pb.WaitJobResponse(job=job("RUNNING")), pb.WaitJobResponse(job=job("FAILED")))
    assert client.run("demo").status == "FAILED"
    first, second = server.requests["SubmitJob"]
    assert first.request_id == second.request_id != ""
    assert [request.job_id for request in server.requests["WaitJob"]] == ["j1", "j1"]


def test_a_run_without_listeners_raises_for_a_job_without_success(
    client: Client, server: ScriptedServer
) -> None:
    """raise_on_failure holds there too, and what has ended is not stopped."""
    server.on("SubmitJob", answer("FAILED"))
    with pytest.raises(errors.JobFailed):
        client.run("demo", raise_on_failure=True, stop_on_exit=True)
    assert set(server.requests) == {"SubmitJob"}


def test_a_run_without_listeners_ends_with_its_time(client: Client, server: ScriptedServer) -> None:
    """Where the job has not ended in time its status is said, and stop_on_exit stops it."""
    server.on("SubmitJob", answer("QUEUED"))
    server.on("WaitJob", pb.WaitJobResponse(job=job("RUNNING")))
    server.on("StopJob", pb.StopJobResponse(job=job("ABORTED")))
    with pytest.raises(errors.DeadlineExceeded, match=r"RUNNING|QUEUED"):
        client.run("demo", timeout=0.1, stop_on_exit=True)
    assert server.requests["StopJob"][0].job_id == "j1"


def test_a_submit_without_an_answer_ends_with_the_run_too(client: Client, server: ScriptedServer) -> None:
    """A server that says nothing keeps a run for its time and a second, not for the client's own; the
    job is found by its request_id, and stopped.
    """
    server.on("SubmitJob", Hang(), answer("QUEUED"))
    server.on("StopJob", pb.StopJobResponse(job=job("ABORTED")))
    with pytest.raises(errors.DeadlineExceeded):
        client.run("demo", timeout=0.1, stop_on_exit=True)
    first, second = server.requests["SubmitJob"]
    assert first.request_id == second.request_id
    assert server.requests["StopJob"][0].job_id == "j1"
