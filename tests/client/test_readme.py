"""What README shows works as it stands there."""

import re
from pathlib import Path

import pytest
from client.scripted import ScriptedServer, finished, job, progress, snapshot

from headrace.v1 import job_pb2
from headrace.v1 import job_service_pb2 as pb
from headrace.v1.job_pb2 import JobProgress

README = (Path(__file__).parents[2] / "README.md").read_text()


def snippet(holds: str) -> str:
    """The example in Python that holds these words."""
    return next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if holds in code)


def batch(count: int) -> pb.BatchSubmitJobsResponse:
    """A batch of so many jobs."""
    return pb.BatchSubmitJobsResponse(batch_id="batch-1", job_ids=map(str, range(count)))


@pytest.mark.parametrize(
    ("told", "printed"),
    [
        (progress(7), "7"),
        (job_pb2.JobUpdate(progress=JobProgress(done=1, total=2, percent=50)), "1/2 (50 %)"),
    ],
)
def test_the_example_of_a_caller(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: job_pb2.JobUpdate,
    printed: str,
) -> None:
    """It runs to its end for a job that knows its total and for one that does not."""
    monkeypatch.setenv("HEADRACE_TARGET", server.target)
    server.on("SubmitJob", pb.SubmitJobResponse(job=job("QUEUED")))
    server.on("WatchJob", [snapshot(), told, finished()])
    server.on("WaitJob", pb.WaitJobResponse(job=job("SUCCEEDED")))
    server.on("StopJob", pb.StopJobResponse(outcome=pb.STOP_OUTCOME_STOPPED, job=job("ABORTED")))
    server.on("BatchSubmitJobs", batch(10_000), batch(2_000))
    exec(compile(snippet("client.submit("), "README.md", "exec"), {})  # noqa: S102 - it is ours
    assert capsys.readouterr().out.split("\n") == [printed, "None", "STOPPED", "12000 None", ""]
