"""Workers get runs of the types that they have loaded, and no others; what differs from the server
is told, and mended.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import Client
from headrace.errors import InvalidParameter
from support.server import Server, until

pytestmark = pytest.mark.slow

SOUND = """
import os, time
from headrace.jobs import JobContext, job

@job("half.work")
def work(ctx: JobContext) -> str:
    time.sleep(0.02)
    return "done"

@job("half.crash")
def crash(ctx: JobContext) -> None:
    os._exit(3)
"""
BROKEN = f"{SOUND}\ndef half_copied(\n"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A job module on the disk, sound at first."""
    file = tmp_path / "half_copied_jobs.py"
    file.write_text(SOUND)
    return file


def _said(client: Client) -> dict[str, str]:
    """What failed to load, by type, or by module or worker."""
    return {one.type or one.module: one.load_error for one in client.types() if one.load_error}


def _up(client: Client, workers: int) -> None:
    until(lambda: client.server_info().counters["slots_ready"] == workers, "all are up")


def _start_anew(client: Client, workers: int, told: Callable[[], bool]) -> None:
    """Have workers start anew, one after the other, until that has been told: the one in reserve
    may have loaded what was before.
    """
    for _ in range(2):
        assert client.submit("half.crash").wait(30).status == "FAILED"
        _up(client, workers)
        if told():
            return
    until(told, "it is told")


def test_a_worker_that_cannot_work_takes_nothing(tmp_path: Path, module: Path) -> None:
    """A worker whose module does not load gets no job of it: the log and ListJobTypes say so, and a
    repair is noticed.
    """
    with Server(tmp_path, jobs=module.stem, workers=3) as server, server.client() as client:
        _up(client, 3)
        module.write_text(BROKEN)
        _start_anew(client, 3, lambda: "has not loaded" in str(_said(client)))
        jobs = [client.submit("half.work") for _ in range(60)]
        assert Counter(str(job.wait(30).status) for job in jobs) == {"SUCCEEDED": 60}
        said = _said(client)
        (worker,) = (name for name in said if name.startswith("worker-"))
        assert "half.crash, half.work" in said[worker]
        assert f"{module.stem}: SyntaxError" in said[worker]
        assert any(
            entry["level"] == "error" and f"{worker} has not loaded" in entry["event"] for entry in server.log
        )
        module.write_text(SOUND)
        until(lambda: _said(client) == {}, "the repair is noticed")
        _up(client, 3)


def test_a_module_that_comes_to_end_its_process(tmp_path: Path, module: Path) -> None:
    """A module that from now on ends whoever imports it is left out by workers that start anew:
    they run what else there is.
    """
    (tmp_path / "other_jobs.py").write_text(SOUND.replace("half.", "other."))
    with Server(tmp_path, jobs=f"other_jobs,{module.stem}", workers=1) as server, server.client() as client:
        _up(client, 1)
        module.write_text(f"import os\nos._exit(9)\n{SOUND}")
        _start_anew(client, 1, lambda: "half.work" in _said(client))
        assert client.submit("other.work").wait(30).status == "SUCCEEDED"
        assert "exited with code 9" in _said(client)[module.stem]
        module.write_text(SOUND)
        assert client.submit("half.work").wait(60).status == "SUCCEEDED"


CHANGED = (
    SOUND.replace("work(ctx: JobContext)", "work(ctx: JobContext, width: int)")
    .replace('"half.work"', '"half.work", attempt_timeout=timedelta(seconds=50)')
    .replace("import os", "from datetime import timedelta\nimport os")
)


def test_a_type_that_changes_on_the_disk(tmp_path: Path, module: Path) -> None:
    """Where a signature has changed on the disk, the first worker that starts anew is told of, and
    server and workers follow.
    """
    with Server(tmp_path, jobs=module.stem, workers=3) as server, server.client() as client:
        _up(client, 3)
        module.write_text(CHANGED)
        assert client.submit("half.work").wait(30).status == "SUCCEEDED"
        _start_anew(client, 3, lambda: "width" in str(client.types()))
        jobs = [client.submit("half.work", {"width": 1}) for _ in range(30)]
        assert Counter(str(job.wait(30).status) for job in jobs) == {"SUCCEEDED": 30}
        assert timedelta(seconds=50) in {one.attempt_timeout for one in client.types()}
        until(lambda: _said(client) == {}, "all have it")
        with pytest.raises(InvalidParameter, match="width"):
            client.submit("half.work")
        told = [entry["event"] for entry in server.log if entry["level"] == "error"]
        assert any("half.work with other parameters, and gets no jobs of that" in one for one in told)


def test_a_type_that_no_worker_loads_says_so(tmp_path: Path, module: Path) -> None:
    """Its jobs stay QUEUED, and it is counted and named as served by nobody; once a worker loads it
    they run.
    """
    with Server(tmp_path, jobs=module.stem, workers=1) as server, server.client() as client:
        _up(client, 1)
        module.write_text(BROKEN)
        _start_anew(client, 1, lambda: "half.work" in _said(client))
        job = client.submit("half.work")
        assert "No worker of this instance has loaded it" in _said(client)["half.work"]
        until(lambda: {one.instance_count for one in client.types()} == {0}, "it is not counted")
        assert job.refresh().status == "QUEUED"
        module.write_text(SOUND)
        assert job.wait(30).status == "SUCCEEDED"
        assert [attempt.number for attempt in job.wait(1).attempts] == [1]
