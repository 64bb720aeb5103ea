"""Commands that take many jobs, from their arguments and from stdin; and streams of JSON lines."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from cli.console import LIMIT, SCRIPT, Script

pytestmark = pytest.mark.slow


def piped(script: Script, text: str, *words: str) -> tuple[int, str, str]:
    """Run a command line with a text on stdin; returns exit code, stdout and stderr."""
    done = subprocess.run(
        [*SCRIPT, *words], env=dict(script.environment), input=text,
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_get_wait_stop_and_delete_take_many(headrace: Script) -> None:
    """Each goes on after a job that fails, says which, and ends with the code of the first that
    did.
    """
    good = headrace("submit", "test.echo", "a=b")
    bad = headrace("submit", "test.fail")
    held = headrace("submit", "test.noop", "--hold")
    code, out, beside = piped(headrace, f"{good}\n{bad}\n{good}\n", "wait", "-")
    assert (code, out) == (1, '{"a": "b"}\nnull\n')
    assert beside.splitlines()[0].startswith(f"SUCCEEDED test.echo {good}")
    assert headrace.done("wait", held, good, "--timeout", "0.1", code=124).stdout == '{"a": "b"}\n'
    shown = json.loads(headrace("get", good, bad, "-o", "json"))
    assert [job["status"] for job in shown] == ["SUCCEEDED", "FAILED"]
    done = headrace.done("get", good, "none", held, "-o", "name", code=5)
    assert (done.stdout.split(), done.stderr.count("\n")) == ([good, held], 1)
    assert headrace("get", good, held).count("\n\n") == 1
    stopped = headrace("stop", held, good).splitlines()
    assert [line.split()[:2] for line in stopped] == [
        ["STOPPED", f"{held}:"],
        ["ALREADY_FINISHED", f"{good}:"],
    ]
    code, out, _ = piped(headrace, f"{good} {bad}", "delete", "-", held)
    assert (code, out.split()) == (0, [good, bad, held])
    assert piped(headrace, "", "delete", "-") == (0, "", "")


def test_run_and_watch_stream_lines_of_json(headrace: Script) -> None:
    """With -o jsonl each update is a line as soon as it is there, shaped as the contract's
    JobUpdate.
    """
    words = [*SCRIPT, "run", "test.report", "total=3", "-o", "jsonl"]
    done = subprocess.run(
        words, env=dict(headrace.environment), capture_output=True, text=True, timeout=LIMIT, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(len(line) == 1 for line in lines)
    assert (next(iter(lines[0])), next(iter(lines[-1]))) == ("snapshot", "finished")
    assert lines[-1]["finished"]["status"] == "SUCCEEDED"
    assert {"MESSAGE_LOGGED", "STATUS_CHANGED"} <= {
        line["event"]["kind"] for line in lines if "event" in line
    }
    assert len(done.stderr.splitlines()) == 1
    job_id = lines[-1]["finished"]["job_id"]
    again = headrace("watch", job_id, "--after", "0", "-o", "jsonl").splitlines()
    assert [json.loads(line)["event"]["revision"] for line in again[:-1]] == list(range(1, len(again)))


def test_a_line_comes_before_the_end(headrace: Script, tmp_path: Path) -> None:
    """The stream does not wait for the job."""
    gate = tmp_path / "gate"
    with subprocess.Popen(
        [*SCRIPT, "run", "test.report", "total=3", f"gate={gate}", "-o", "jsonl"],
        env=dict(headrace.environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert '"RUNNING"' in next(
            line for line in process.stdout if '"STATUS_CHANGED"' in line and "RUNNING" in line
        )
        gate.touch()
        assert json.loads(process.stdout.read().splitlines()[-1])["finished"]["status"] == "SUCCEEDED"
    assert process.returncode == 0


def test_times_are_taken_back_with_none(headrace: Script) -> None:
    """--expire none is never, --run-after none is at once, for a submit, an update, and many jobs."""
    job_id = headrace("submit", "test.noop", "--hold", "--expire", "+1h", "--run-after", "+30m")
    times = "[{job.spec.expire_time}] [{job.spec.run_after}]"
    assert "[]" not in headrace("get", job_id, "--format", times)
    headrace("update", job_id, "--expire", "none", "--run-after", "none")
    assert headrace("get", job_id, "--format", times) == "[] []"
    other = headrace("submit", "test.noop", "--hold", "--expire", "none", "--priority", "3")
    words = ["update-jobs", "--type", "test.noop", "--expire", "+2h", "--priority", "7", "--set-label", "k=v"]
    assert headrace(*words, "--dry-run") == "It would be: 2 updated"
    assert headrace(*words, "--yes", "-o", "json") == '{\n  "updated": 2\n}'
    assert headrace("list", "--label", "k=v", "--format", "{job.spec.priority}") == "7\n7"
    assert headrace("get", other, "--format", "[{job.spec.expire_time}]") != "[]"


def test_a_time_that_is_over_is_named_as_it_was_given(headrace: Script) -> None:
    """Whatever of it was left for the last call, run and wait say the --timeout."""
    held = headrace("submit", "test.noop", "--hold")
    said = headrace.done("wait", held, "--timeout", "0.5", code=124).stderr
    assert said == f"headrace: Job {held} was still PENDING after 0.5 s.\n"
    run = ("run", "test.noop", "--run-after", "+1h", "--timeout", "1.5s")
    assert re.search(r"had not ended after 1\.5 s\. Resume: headrace", headrace.done(*run, code=124).stderr)


def test_settings_have_types(headrace: Script) -> None:
    """In -o json a number is a number, a switch is true or false, and several are a list."""
    settings = json.loads(headrace("info", "-o", "json"))["settings"]
    assert (settings["workers"], settings["durable"], settings["drain_time"]) == (2, True, 0.0)
    assert settings["jobs"] == ["example_jobs.files", "example_jobs.image", "support.jobs"]
    assert settings["log_level"] == "info"


def test_a_field_that_some_lack(headrace: Script) -> None:
    """In a list it is blank; what none of them has is said, and what no job can have is refused."""
    headrace("submit", "test.echo", "a=1", "--hold")
    headrace("submit", "test.echo", "b=2", "--hold")
    words = ("list", "--order", "create-time-asc", "--format")
    done = headrace.done(*words, "{job.spec.parameters.a}|{job.attempts.0.worker}")
    assert done.stdout == "1|\n|\n"
    assert done.stderr == "None of these has {job.attempts.0.worker}.\n"
    assert "There is no 'statu' in {job}" in headrace.error(*words, "{job.statu}", code=2)
