"""stop-jobs and purge, against a server with the example jobs."""

import json
import os
from pathlib import Path

import pytest
from cli.console import Script

pytestmark = pytest.mark.slow


def test_purge_and_stop_jobs(headrace: Script, tree: Path) -> None:
    """`purge` and `stop-jobs` show what they would do, do it when told --yes, and leave locked jobs
    (acceptance 43, 71, 73).
    """
    words = ("submit", "files.checksum", f"path={tree}")
    done = headrace(*words, "--owner", "ann", "--wait", "-o", "name").splitlines()[0]
    locked, held = (headrace(*words, "--owner", "ann", "--hold") for _ in range(2))
    headrace("update", locked, "--lock")
    mine = ("--owner", "ann")
    would = "It would be: 1 deleted, 1 locked, 1 not ended (--stop stops them first)"
    assert headrace("purge", *mine, "--dry-run") == would
    assert "--yes does it" in headrace.error("purge", *mine, code=2)
    assert "filter" in headrace.error("purge", "--yes", code=2)
    assert set(headrace("list", "-o", "name").split()) == {done, locked, held}
    counts = json.loads(headrace("purge", *mine, "--yes", "-o", "json"))
    assert counts == {"purged": 1, "stopping": 0, "locked": 1, "unended": 1}
    assert headrace("stop-jobs", *mine, "--dry-run").startswith("It would be: 2 stopped")
    assert headrace("stop-jobs", *mine, "--yes") == "2 stopped before they began, 0 told to stop"
    headrace("update", locked, "--unlock")
    assert headrace("purge", *mine, "--stop", "-y") == "2 deleted"
    assert headrace("list", "-o", "name") == ""


def test_purge_asks(headrace: Script, tree: Path) -> None:
    """On a terminal `purge` asks: n leaves everything as it is, y does it."""
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--hold")
    for answer, code, left in ((b"n\n", 130, job_id), (b"y\n", 0, "")):
        with headrace.on_terminal("purge", "--status", "PENDING", "--stop") as screen:
            screen.shows(r"It would be: 1 deleted\. Go on\?")
            os.write(screen._descriptor, answer)
            assert screen.ends()[0] == code
        assert headrace("list", "-o", "name") == left


@pytest.mark.parametrize(
    ("words", "answer"),
    [(("stop-jobs",), b"n\n"), (("update-jobs", "--priority", "7"), b"\n"), (("purge", "--stop"), b"\x04")],
)
def test_no_is_quiet(headrace: Script, words: tuple[str, ...], answer: bytes) -> None:
    """Who answers n, nothing, or Ctrl-D is told nothing more: 130, no line beside the question, and
    no job is touched.
    """
    job_id = headrace("submit", "test.noop", "--hold")
    with headrace.on_terminal(*words, "--type", "test.noop") as screen:
        screen.shows(r"Go on\? \[y/N\]:")
        os.write(screen._descriptor, answer)
        while screen._read():
            pass
        assert screen._process.communicate()[0] == b""
    assert screen._process.returncode == 130
    asked, _, said = screen.text.partition("[y/N]:")
    assert asked.startswith("It would be: 1 ")
    assert said.replace("^D", "").replace("\b", "").strip() in ("", "n")
    assert headrace("get", job_id, "--format", "{job.status} {job.spec.priority}") == "PENDING 0"
