"""The page about events: what it shows to be typed runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import Server

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/events.md"


def test_the_consumer_with_another_library(server: Server, rabbitmq: str) -> None:
    """The page's consumer, which uses no code of ours, is told of a job's life."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    source = source.replace("report%2Emake", "test%2Enoop")
    with (
        server,
        server.client() as client,
        subprocess.Popen(
            [sys.executable, "-c", source, rabbitmq], stdout=subprocess.PIPE, text=True
        ) as consumer,
    ):
        assert consumer.stdout is not None
        job = client.submit("test.noop")
        assert job.wait(30).status == "SUCCEEDED"
        lines = [line.split() for line in consumer.stdout]
        assert consumer.wait(30) == 0
        ends = [event for event in client.events(job.job_id) if event.kind in ("CREATED", "STATUS_CHANGED")]
    assert lines == [[f"{job.job_id}/{event.revision}", f"JOB_STATUS_{event.status}"] for event in ends]
