"""run and watch on a terminal: the bar, and Ctrl-C."""

import json
import re
from pathlib import Path

import pytest
from cli.console import Script

pytestmark = pytest.mark.slow

FOR_EVER = "passes:=100000000"


def test_a_bar_with_rate_and_time_left(headrace: Script, tree: Path) -> None:
    """The bar shows percent, ticks, rate and time left, messages stand above it, and stdout has the
    result alone.
    """
    with headrace.on_terminal("run", "files.checksum", f"path={tree}", "passes:=20000") as screen:
        screen.shows(r"\[info\] 10 files in")
        screen.shows(r"(?s)RUNNING.*━.*\d+%.*\d+/200000.*/s.* left")
        code, out = screen.ends()
    assert code == 0
    assert len(json.loads(out)) == 64
    assert "SUCCEEDED" in screen.text.splitlines()[-1]


def test_ctrl_c_leaves_the_job_alone(headrace: Script, tree: Path) -> None:
    """Ctrl-C detaches with 130 and a command that resumes where it was left."""
    with headrace.on_terminal("run", "files.checksum", f"path={tree}", FOR_EVER) as screen:
        screen.shows("RUNNING")
        screen.shows("/1000000000")
        screen.interrupt()
        code, out = screen.ends()
    assert (code, out) == (130, "")
    left = re.search(r"detached; the job goes on\. Resume: headrace (watch (\S+) --after (\d+))", screen.text)
    assert left is not None
    job_id = left[2]
    assert headrace("get", job_id, "--format", "{job.status}") == "RUNNING"
    with headrace.on_terminal(*left[1].split()) as again:
        again.shows("/1000000000")
        assert headrace("stop", job_id).startswith("STOPPED")
        code, _ = again.ends()
    assert code == 3
    assert "stop requested" in again.text
    assert "created" not in again.text


def test_ctrl_c_stops_the_job_when_asked_to(headrace: Script, tree: Path) -> None:
    """With --stop-on-exit Ctrl-C stops the job, whose end decides the exit code."""
    with headrace.on_terminal("run", "files.checksum", f"path={tree}", FOR_EVER, "--stop-on-exit") as screen:
        screen.shows("/1000000000")
        screen.interrupt()
        code, _ = screen.ends()
    assert code == 3
    assert "ABORTED" in screen.text.splitlines()[-1]
    assert (
        headrace("list", "--format", "{job.status} {job.stop.reason}")
        == "ABORTED The caller was interrupted."
    )


def test_a_table_on_a_narrow_terminal(headrace: Script, tree: Path) -> None:
    """NO_COLOR is respected, and a pipe gets whole ids however narrow the terminal."""
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--hold")
    narrow = Script({**headrace.environment, "COLUMNS": "30"})
    assert job_id in narrow("list")
    plain = Script({**headrace.environment, "NO_COLOR": "1"})
    with plain.on_terminal("watch", job_id, "--timeout", "1s") as screen:
        code, _ = screen.ends()
    assert code == 124
    assert not re.search(r"\x1b\[[0-9;]*m", screen.text)
