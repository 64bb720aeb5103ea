"""`headrace dev`, as one who develops a job sees it."""

from pathlib import Path

import pytest
from cli.console import Script, environment

pytestmark = pytest.mark.slow


def test_dev_tells_of_types_and_ends_and_a_second_ctrl_c(tmp_path: Path) -> None:
    """It lists its types, says how each job ended, and that a second Ctrl-C does not wait for what
    runs.
    """
    alone = Script(environment())
    words = ["dev", "--jobs", "support.jobs", "--workers", "2", "--address", "127.0.0.1:0"]
    words += [
        "--database-url",
        f"sqlite:///{tmp_path}/h.db",
        "--workspace",
        str(tmp_path / "w"),
        "--log-format",
        "json",
    ]
    with alone.on_terminal(*words) as screen:
        target = screen.shows(r"Headrace listens on (\S+),")[1]
        screen.shows(r"Types: test\.async, test\.class")
        headrace = Script(environment(HEADRACE_TARGET=target))
        good = headrace("submit", "test.noop")
        screen.shows(rf'"succeeded".*{good}|{good}.*"succeeded"')
        bad = headrace("submit", "test.fail")
        screen.shows(rf"failed.*no such file.*{bad}|{bad}.*failed.*no such file")
        headrace("submit", "test.hold", f"started={tmp_path}/started", f"gate={tmp_path}/gate")
        while not (tmp_path / "started").exists():
            screen.wait()
        screen.interrupt()
        screen.shows("a second Ctrl-C or SIGTERM stops them now")
        screen.interrupt()
        screen.shows("a second signal: running jobs are stopped now")
        assert screen.ends()[0] == 0
