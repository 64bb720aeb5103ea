"""submit-many: a file of jobs, piped and on a terminal."""

import json
from pathlib import Path

import pytest
from cli.console import Script

pytestmark = pytest.mark.slow


def write(path: Path, *jobs: object) -> str:
    """A file with a job in each line."""
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs), "utf-8")
    return str(path)


def test_the_jobs_of_a_file_are_submitted(headrace: Script, tmp_path: Path) -> None:
    """Ids come in the order of the lines, and the jobs have all that a line says (acceptance 3, 85)."""
    first = {
        "type": "test.echo",
        "parameters": {"at": {"$date": "2026-11-22"}, "ü": [1, None]},
        "priority": 5,
        "labels": {"team": "x"},
        "queue": "many",
        "attempt_timeout": "5m",
        "retry_policy": {"max_attempts": 3, "initial_backoff": "2s"},
    }
    others = [{"type": "test.echo", "parameters": {"n": number}} for number in range(7)]
    file = write(tmp_path / "jobs.jsonl", first, *others)
    done = headrace.done("submit-many", file, "--hold", "--batch-size", "3")
    job_ids = done.stdout.split()
    assert (len(job_ids), done.stderr) == (8, "8 jobs submitted\n")
    shown = json.loads(headrace("get", job_ids[0], "-o", "json"))
    assert shown["spec"]["parameters"] == first["parameters"]
    assert (shown["spec"]["queue"], shown["spec"]["priority"]) == ("many", 5)
    assert shown["spec"]["retry_policy"]["max_attempts"] == 3
    assert headrace("get", job_ids[-1], "--format", "{job.spec.parameters.n} {job.status}") == "6 PENDING"
    batch = shown["batch_id"]
    assert headrace("list", "--batch-id", batch, "-o", "name").split() == job_ids[2::-1]
    again = headrace.done("submit-many", file, "--hold", "--request-id", "r")
    assert headrace("submit-many", file, "--hold", "--request-id", "r") == again.stdout.strip()


def test_a_line_at_fault_is_named(headrace: Script, alone: Script, tmp_path: Path) -> None:
    """By its number and why; what the server refuses by the place of the job, and what is on disk by
    then is said with the way to go on.
    """
    good = {"type": "test.echo"}
    for line, why in (
        ('{"type": "test.echo"', "It is no JSON"),
        ("[]", 'It is no JSON object with a "type".'),
        ('{"type": "test.echo", "prio": 1}', "'prio' is nothing that a job has: there are type, parameters,"),
        ('{"type": "test.echo", "priority": "high"}', "priority is not 'high': a whole number is wanted."),
        ('{"type": "test.echo", "attempt_timeout": "soon"}', "'soon' is no length of time"),
        ('{"type": "test.echo", "retry_policy": {"most": 1}}', "unexpected keyword argument 'most'"),
        ('{"type": "test.echo", "parameters": {"at": {"$date": "x"}}}', "'x' is no value of kind $date"),
    ):
        file = tmp_path / "wrong.jsonl"
        file.write_text(f"{json.dumps(good)}\n\n{line}\n", "utf-8")
        told = alone.error("submit-many", str(file), code=2)
        assert f"{file}, line 3: " in told
        assert why in told
    assert "cannot be read: No such file" in alone.error("submit-many", str(tmp_path / "none"), code=2)
    file = Path(write(tmp_path / "late.jsonl", good, good, {"type": "nowhere.known"}))
    late = headrace.done("submit-many", str(file), "--hold", "--batch-size", "2", code=2)
    assert len(late.stdout.split()) == 2
    assert "2 jobs are submitted. The same file with --request-id " in late.stderr
    assert "headrace: jobs[2].type: " in late.stderr


def test_a_bar_counts_what_is_on_disk(headrace: Script, tmp_path: Path) -> None:
    """On a terminal a bar shows how much of the file was read; ids alone go to stdout."""
    file = write(tmp_path / "jobs.jsonl", *[{"type": "test.echo"}] * 40)
    with headrace.on_terminal("submit-many", file, "--hold", "--batch-size", "20") as screen:
        screen.shows(r"━.*100%.*40 jobs submitted")
        code, out = screen.ends()
    assert (code, len(out.split())) == (0, 40)
    assert "40 jobs submitted" in screen.text.splitlines()[-1]
