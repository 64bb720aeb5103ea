"""The commands, against a server with the example jobs."""

import json
import uuid
from pathlib import Path

import pytest
import yaml
from cli.console import EXAMPLES, Script

pytestmark = pytest.mark.slow

FOR_EVER = "passes:=1000000000"


def test_submit_get_and_list(headrace: Script, tree: Path) -> None:
    """`submit` prints the id, get and list show the job in every form (acceptance 33, 84, 85)."""
    job_id = headrace(
        "submit", "files.checksum", f"path={tree}", "passes=2", "--hold", "--priority", "5", "--label", "a=b",
        "--attempt-timeout", "7m",
    )  # fmt: skip
    shown = headrace("get", job_id)
    for fact in (job_id, "files.checksum", "PENDING", "5", "a=b", "7m", str(tree)):
        assert fact in shown
    job = json.loads(headrace("get", job_id, "-o", "json"))
    assert job["status"] == "PENDING"
    assert job["spec"]["parameters"] == {"path": str(tree), "passes": 2, "skip": None}
    assert job["spec"]["attempt_timeout"] == "420s"
    assert yaml.safe_load(headrace("get", job_id, "-o", "yaml")) == job
    assert headrace("get", job_id, "-o", "name") == job_id
    assert headrace("list", "--format", "{job.spec.parameters.path} {job.status}") == f"{tree} PENDING"
    title, row = headrace("list").splitlines()
    assert title.split()[:3] == ["ID", "STATUS", "TYPE"]
    assert row.split()[:3] == [job_id, "PENDING", "files.checksum"]
    assert json.loads(headrace("list", "-o", "json"))[0]["job_id"] == job_id
    assert json.loads(headrace("list", "-o", "jsonl"))["job_id"] == job_id


def test_what_get_prints_submit_and_list_take_back(headrace: Script, tree: Path) -> None:
    """Parameters as `get` prints them find their job, its defaults among them, and submit it again,
    typed and as a file.
    """
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--hold")
    printed = json.loads(headrace("get", job_id, "-o", "json"))["spec"]["parameters"]
    assert printed["passes"] == 1  # the default
    typed = [f"{name}:={json.dumps(value)}" for name, value in printed.items()]
    filters = [word for one in typed for word in ("--param", one)]
    assert headrace("list", "-o", "name", "--type", "files.checksum", *filters) == job_id
    again = headrace("submit", "files.checksum", *typed, "--hold")
    assert headrace("list", "-o", "name", "--type", "files.checksum", *filters).split() == [again, job_id]


def test_list_filters_and_counts(headrace: Script, tree: Path) -> None:
    """`list` and count take the same filters (acceptance 37, 38, 39)."""
    words = ("submit", "files.checksum", "--hold")
    one = headrace(*words, f"path={tree}", "--owner", "ann", "--session-id", "s", "--queue", "q")
    other = headrace(*words, f"path={tree}/x", "--label", "k=v")
    for filters in (
        ["--owner", "ann"],
        ["--session-id", "s", "--queue", "q"],
        ["--type", "files.checksum", "--param", f"path={tree}"],
        ["--order", "create-time-asc", "--limit", "1"],
    ):
        assert headrace("list", "-o", "name", *filters) == one, filters
    for filters in (
        ["--label", "k=v", "--status", "pending"],
        ["--type", "files.checksum", "--param-prefix", f"path={tree}/"],
        ["--since", "1h", "--limit", "1"],
    ):
        assert headrace("list", "-o", "name", *filters) == other, filters
    assert headrace("list", "-o", "name", "--until", "1h") == ""
    assert "more than these 1" in headrace.done("list", "-o", "name", "--limit", "1").stderr
    assert headrace.done("list", "-o", "name", "--limit", "2").stderr == ""
    counted = headrace("count", "--by", "status,type", "--since", "1h").splitlines()
    assert [line.split() for line in counted] == [
        ["STATUS", "TYPE", "COUNT"],
        ["PENDING", "files.checksum", "2"],
    ]
    assert {"owner": "ann", "count": 1} in json.loads(headrace("count", "--by", "owner", "-o", "json"))
    assert one in headrace("list", "--all-tenants", "-o", "name", "--owner", "ann").split()


def test_count_without_groups(headrace: Script, tree: Path) -> None:
    """`count` alone prints how many jobs there are."""
    for _ in range(2):
        headrace("submit", "files.checksum", f"path={tree}", "--hold")
    assert headrace("count").split() == ["COUNT", "2"]


def test_run_prints_the_result(headrace: Script, tree: Path) -> None:
    """`run` writes the result to stdout as JSON, all else as lines to stderr (acceptance 7)."""
    done = headrace.done("run", "files.checksum", f"path={tree}", "passes:=3")
    assert len(json.loads(done.stdout)) == 64
    lines = done.stderr.splitlines()
    assert any("[info] 10 files in" in line for line in lines)
    assert lines[-1].startswith("SUCCEEDED files.checksum ")
    quiet = headrace.done("run", "files.checksum", f"path={tree}", "--no-messages", "-o", "name")
    assert "[info]" not in quiet.stderr
    assert quiet.stdout.strip() in quiet.stderr


def test_the_photograph(headrace: Script, tmp_path: Path) -> None:
    """image.resize keeps the proportions of a real photograph and answers a file (acceptance 21)."""
    small = tmp_path / "small.jpg"
    photo = EXAMPLES / "photo" / "coffee.jpg"
    result = json.loads(
        headrace("run", "image.resize", f"file={photo}", "width=64", "height=64", f"output={small}")
    )
    assert result["uri"] == small.as_uri()
    assert result["media_type"] == "image/jpeg"
    assert result["size"] == small.stat().st_size


def test_the_end_decides_the_exit_code(headrace: Script, tree: Path) -> None:
    """A job that failed gives 1, one that was stopped 3, one that has not ended in time 124."""
    failed = headrace.done("run", "files.checksum", "path=/nowhere", code=1)
    assert failed.stdout == ""
    assert "DECLARED NOT_A_DIRECTORY: /nowhere is no directory" in failed.stderr.splitlines()[-1]
    job_id = headrace("submit", "files.checksum", f"path={tree}", FOR_EVER)
    assert "headrace: " in headrace.done("wait", job_id, "--timeout", "100ms", code=124).stderr
    late = headrace.done("watch", job_id, "--timeout", "1s", code=124).stderr
    assert f"Resume: headrace watch {job_id} --after " in late.splitlines()[-1]
    assert headrace("stop", job_id, "--reason", "enough").startswith(f"STOPPED {job_id}")
    assert headrace("stop", job_id).startswith("ALREADY_FINISHED")
    assert headrace.done("wait", job_id, code=3).stderr.endswith(": enough\n")
    assert headrace.done("watch", job_id, "--after", "0", code=3).stderr.count("stop requested") == 1
    assert headrace("submit", "files.checksum", f"path={tree}", "--wait", "-o", "name") != job_id


def test_hold_release_update_and_delete(headrace: Script, tree: Path) -> None:
    """A held job is changed, released, locked, unlocked and deleted (acceptance 2, 4, 49)."""
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--hold")
    etag = headrace("get", job_id, "--format", "{job.etag}")
    words = ("update", job_id, "--priority", "7", "--description", "d", "--label", "a=b", "--lock")
    assert headrace(*words, "--etag", etag, "--format", "{job.spec.priority} {job.locked}") == "7 true"
    assert "etag" in headrace.error("update", job_id, "--priority", "8", "--etag", etag, code=1)
    assert headrace("release", job_id, "-o", "name") == job_id
    headrace("wait", job_id)
    assert "locked" in headrace.error("delete", job_id, code=1)
    headrace("update", job_id, "--unlock", "--clear-labels")
    assert headrace("delete", job_id) == job_id
    headrace.error("get", job_id, code=5)
    headrace.error("delete", job_id, code=5)
    assert headrace("delete", job_id, "--allow-missing") == job_id


def test_events(headrace: Script, tree: Path) -> None:
    """`events` shows the history, from any revision on."""
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--wait").splitlines()[0]
    rows = headrace("events", job_id).splitlines()
    assert rows[0].split() == ["REV", "TIME", "ATTEMPT", "EVENT"]
    assert "created" in rows[1]
    assert rows[-1].endswith("SUCCEEDED")
    events = [
        json.loads(line) for line in headrace("events", job_id, "--after", "1", "-o", "jsonl").splitlines()
    ]
    assert [event["revision"] for event in events] == list(range(2, len(rows)))
    assert events[0]["status_changed"]["from"] == "QUEUED"


def test_types_and_info(headrace: Script) -> None:
    """`types` shows what can be submitted, info how the server is set up (acceptance 10, 88)."""
    assert "files.checksum" in headrace("types")
    shown = headrace("types", "image.resize")
    assert "width" in shown
    assert "required" in shown
    assert "There is no type 'none'; there is files.checksum, image.resize, test." in headrace.error(
        "types", "none", code=2
    )
    assert json.loads(headrace("types", "-o", "json"))[0]["type"] == "files.checksum"
    title, row = headrace("instances").splitlines()
    assert row.split()[title.split().index("QUEUES")] == "all"
    assert json.loads(headrace("instances", "-o", "json"))[0]["queues"] == []
    assert "Settings" in headrace("info")
    assert json.loads(headrace("info", "-o", "json"))["settings"]["workers"] == 2


def test_what_the_server_refuses(headrace: Script, tree: Path) -> None:
    """A refusal names each field in one line, and repeats nothing (acceptance 9, 17)."""
    assert "The types are: files.checksum, image.resize, test." in headrace.error("submit", "none", code=2)
    said = headrace.error("submit", "image.resize", "fil=x", "width=wide", code=2)
    for field in ("file", "fil", "width"):
        assert said.count(f"[{field}]") == 1
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--hold", "--request-id", "r")
    assert headrace("submit", "files.checksum", f"path={tree}", "--hold", "--request-id", "r") == job_id
    assert job_id in headrace.error("submit", "files.checksum", "path=/other", "--request-id", "r", code=1)


def test_options_before_and_after_the_command(headrace: Script, tree: Path) -> None:
    """--tenant may stand on either side of the command, and the one behind it counts (acceptance
    51).
    """
    job_id = headrace("--tenant", "here", "submit", "files.checksum", f"path={tree}", "--hold")
    assert headrace("get", job_id, "--tenant", "here", "--format", "{job.tenant}") == "here"
    headrace.error("--tenant", "here", "get", job_id, "--tenant", "there", code=5)


def test_choosing_what_runs(headrace: Script, tree: Path) -> None:
    """A queue is paused, limited and listed, a tenant weighed, and all of it taken back (acceptance
    53, 60).
    """
    queue, tenant = f"q-{uuid.uuid4().hex[:8]}", headrace.environment["HEADRACE_TENANT"]
    assert headrace("pause", "queue", queue) == f"queue {queue}: paused"
    said = headrace("limit", "queue", queue, "--running", "5", "--per-owner", "2")
    assert said == f"queue {queue}: paused, at most 5 at once, at most 2 of each owner"
    assert headrace("limit", "tenant", tenant, "--weight", "3") == f"tenant {tenant}: weight 3"
    job_id = headrace("submit", "files.checksum", f"path={tree}", "--queue", queue)
    listed = [line.split() for line in headrace("queues").splitlines()]
    assert listed[0] == ["QUEUE", "STATE", "WAITING", "OLDEST", "RUNNING", "LIMIT", "PER", "OWNER"]
    assert [[row[1], row[2], *row[-3:]] for row in listed if row[0] == queue] == [
        ["paused", "1", "0", "5", "2"]
    ]
    [one] = [one for one in json.loads(headrace("tenants", "-o", "json")) if one["name"] == tenant]
    assert (one["waiting"], one["running"], one["weight"]) == (1, 0, 3)
    assert queue in headrace("gates")
    assert headrace("resume", "queue", queue, "--format", "{gate.paused}") == "false"
    headrace("wait", job_id)
    headrace("limit", "queue", queue, "--running", "none", "--per-owner", "none")
    headrace("limit", "tenant", tenant, "--weight", "1")
    assert queue not in headrace("gates")
    assert "none of QUEUE, TENANT, TYPE" in headrace.error("pause", "nothing", "x", code=2)
    assert "--running" in headrace.error("limit", "queue", "x", code=2)
    assert "a number, or none" in headrace.error("limit", "queue", "x", "--running", "few", code=2)
