"""The handle that submit answers: the client's verbs for one job."""

import pytest
from client.scripted import ScriptedServer, job

from headrace import Client, JobHandle, errors
from headrace.v1 import job_pb2
from headrace.v1 import job_service_pb2 as pb


@pytest.fixture
def handle(client: Client, server: ScriptedServer) -> JobHandle:
    """A handle of job j1, just submitted."""
    server.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED")))
    return client.submit("demo")


def test_the_result_is_what_the_job_returned(handle: JobHandle, server: ScriptedServer) -> None:
    """As a Python value."""
    ended = job("SUCCEEDED", result={"list_value": {"values": [{"int_value": 1}]}})
    server.on("WaitJob", pb.WaitJobResponse(job=ended))
    assert handle.result() == [1]
    assert "j1" in repr(handle)
    assert handle.info.status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("ended", "kind", "text"),
    [
        (job("FAILED", error={"kind": "KIND_EXPIRED"}), errors.JobFailed, "failed: EXPIRED"),
        (job("ABORTED", stop={"reason": "not needed."}), errors.JobAborted, "was aborted: not needed"),
    ],
)
def test_a_job_without_a_result_raises(
    handle: JobHandle,
    server: ScriptedServer,
    ended: job_pb2.JobInfo,
    kind: type[errors.JobFailed | errors.JobAborted],
    text: str,
) -> None:
    """JobFailed or JobAborted, with the job and the reason."""
    server.on("WaitJob", pb.WaitJobResponse(job=ended))
    with pytest.raises(kind) as raised:
        handle.result()
    assert str(raised.value) == f"Job j1 (demo) {text}."
    assert raised.value.job.final


def test_a_result_that_is_late_is_a_timeout(handle: JobHandle, server: ScriptedServer) -> None:
    """The job runs on."""
    server.on("WaitJob", pb.WaitJobResponse(job=job("RUNNING")))
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)


def test_each_verb_asks_for_the_handle_s_job(handle: JobHandle, server: ScriptedServer) -> None:
    """Same job, same tenant; and the handle remembers what it was answered."""
    server.on("GetJob", pb.GetJobResponse(job=job("RUNNING")))
    server.on("ReleaseJob", pb.ReleaseJobResponse(job=job("QUEUED")))
    server.on("UpdateJob", pb.UpdateJobResponse(job=job("QUEUED", locked=True)))
    server.on("StopJob", pb.StopJobResponse(outcome="STOP_OUTCOME_STOPPED", job=job("ABORTED")))
    server.on("ListJobEvents", pb.ListJobEventsResponse())
    server.on("DeleteJob", pb.DeleteJobResponse())
    assert handle.refresh().status == handle.info.status == "RUNNING"
    assert handle.release() is handle.info
    assert handle.update(locked=True).locked
    assert handle.stop("why", wait_timeout=1).outcome == "STOPPED"
    assert handle.info.status == "ABORTED"
    assert list(handle.events(after_revision=2)) == []
    handle.delete()
    for method in ("GetJob", "ReleaseJob", "UpdateJob", "StopJob", "ListJobEvents", "DeleteJob"):
        (request,) = server.requests[method]
        assert (request.tenant, request.job_id) == ("acme", "j1")
