"""What others have said is shown on a terminal, and never obeyed by it; in a pipe data is what was
said.
"""

import json
import os
import pty
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import yaml
from cli.console import Script

from headrace.cli import terminal
from headrace.cli.form import Form
from headrace.cli.output import Output
from headrace.cli.record import Record
from headrace.cli.template import Template
from headrace.cli.text import event_text
from headrace.info import (
    EventKind,
    JobEvent,
    JobStatus,
    LoggedMessage,
    MessageLevel,
    MessageSource,
    ResultSet,
)

BAD = "\x1b[2J\x07\x7f\x9b31m\u202e\u2028é😀"
"""A clear screen, a bell, a delete, a C1 sequence, a mark of direction, an end of line; then
letters.
"""
SAID = Record("job", f"n{BAD}", {"a": {f"k{BAD}": [BAD]}, "text": BAD})


def obeyed(text: str) -> list[str]:
    """The characters of a text that a terminal would obey, ends of lines and tabs excepted."""
    return [letter for letter in BAD[:-2] if not letter.isprintable() and letter in text]


@pytest.mark.parametrize("form", [Form.JSON, Form.JSONL, Form.YAML])
def test_json_and_yaml_hold_no_control_character(capsys: pytest.CaptureFixture[str], form: Form) -> None:
    """They are escaped as the form has it, in a pipe too, and read back as they were; letters stand
    for themselves.
    """
    Output(form).one(SAID, lambda: None)
    text = capsys.readouterr().out
    assert obeyed(text) == []
    assert (yaml.safe_load if form is Form.YAML else json.loads)(text) == SAID.data
    assert form is Form.YAML or "é😀" in text
    Output(form).many([SAID, SAID])
    assert obeyed(capsys.readouterr().out) == []


WRITERS: list[Callable[[], None]] = [
    lambda: Output(template=Template.read("{job.text}\\t{job.a}")).one(SAID, lambda: None),
    lambda: Output(Form.NAME).many([SAID]),
    lambda: terminal.write(BAD),
]


@pytest.mark.parametrize("write", WRITERS)
def test_a_terminal_obeys_nothing_and_a_pipe_gets_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], write: Callable[[], None]
) -> None:
    """A text, a name and a --format are escaped on a terminal; in a pipe they are what was said, to
    the letter.
    """
    write()
    assert BAD in capsys.readouterr().out
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            terminal.stdout.cache_clear()
            write()
            stream.flush()
            shown = os.read(ours, 65536).decode()
    finally:
        terminal.stdout.cache_clear()
        os.close(ours)
    assert obeyed(shown) == []
    assert r"\x1b[2J\x07\x7f\x9b31m\u202e\u2028" in shown


def event(detail: LoggedMessage | ResultSet) -> JobEvent:
    """What a job has said."""
    return JobEvent(
        job_id="j1", tenant="t", type="demo", revision=3, event_time=datetime.now(UTC), attempt=1,
        status=JobStatus.RUNNING, final=False, kind=EventKind.MESSAGE_LOGGED, detail=detail, payload=None,
    )  # fmt: skip


def test_no_line_of_a_message_looks_like_one_of_ours() -> None:
    """The second line of a message is set in, with any kind of end of line; a name of a result has
    one line.
    """
    said = event(LoggedMessage(MessageLevel.INFO, "one\r\n12:00:00 SUCCEEDED\r\x1b[2J\n", MessageSource.JOB))
    assert event_text(said) == "[info] one\n    12:00:00 SUCCEEDED\\r\\x1b[2J"
    assert event_text(event(ResultSet("a\x1b\n"))) == r"result 'a\x1b\n' set"


@pytest.mark.slow
def test_every_command_escapes_what_a_caller_has_said(headrace: Script) -> None:
    """What a submit says of itself reaches neither stdout nor stderr raw, whoever shows it."""
    bad = BAD.replace("\u2028", "")
    words = ["--description", bad, "--owner", bad, "--session-id", bad, "--label", f"{bad}={bad}"]
    job_id = headrace("submit", "test.fail", f"text={bad}", "--queue", bad, *words, "--hold")
    shown = [headrace.done(*line) for line in (("get", job_id), ("list",), ("queues",))]
    shown.append(headrace.done("stop", job_id, "--reason", bad))
    shown.append(headrace.done("watch", job_id, code=3))
    for done in shown:
        assert obeyed(done.stdout + done.stderr) == [], done.args
    assert terminal.json_text(bad)[1:-1] in headrace("get", job_id, "-o", "json")
