"""docs/operations.md says what is true: its settings, its counters, its log lines, its backups."""

import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import settings_table

import headrace_server
from support.fleet import fleet
from support.postgresql import Server as Database
from support.postgresql import binaries
from support.server import Server, until

pytestmark = pytest.mark.slow

TEXT = settings_table.DOCUMENT.read_text()


def first_cells(title: str) -> list[str]:
    """What is quoted in the first column of the table with this title row."""
    table = TEXT.partition(f"{title}\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[1:]]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_setting_is_in_the_document() -> None:
    """The table of settings is the one that `make settings` makes (acceptance 88)."""
    assert settings_table.document() == TEXT, "run `make settings`"


def test_counters_that_are_named_exist(tmp_path: Path) -> None:
    """Every counter that the document tells to watch is answered by a server."""
    names = [name for name in first_cells("| counter | alert when |") if "…" not in name]
    assert len(names) > 10
    with Server(tmp_path, amqp_url="amqp://127.0.0.1:1/") as server, server.client() as client:
        assert set(names) <= set(client.server_info().counters)


def test_log_lines_that_are_named_exist() -> None:
    """Every event that the document tells to alert on stands in the server's source."""
    source = "".join(path.read_text() for path in Path(headrace_server.__file__).parent.rglob("*.py"))
    events = first_cells("| event | what it means |")
    assert len(events) > 5
    assert [event for event in events if event not in source] == []


def test_backup_and_restore_of_sqlite(tmp_path: Path) -> None:
    """A copy by VACUUM INTO, made while the server runs, is a database that a server serves."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    copy = tmp_path / "two" / "headrace.db"
    with Server(tmp_path / "one") as server, server.client() as client:
        job = client.submit("test.echo", {"n": 1})
        job.wait(30)
        with closing(sqlite3.connect(tmp_path / "one" / "headrace.db")) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        client.submit("test.echo")
    with Server(tmp_path / "two") as server, server.client() as client:
        assert client.get(job.job_id).result == {"n": 1}
        assert len(list(client.list())) == 1
        assert client.submit("test.echo").wait(30).status == "SUCCEEDED"


def test_backup_and_restore_of_postgresql(
    tmp_path: Path, shared_url: str, postgresql: Database, prefix: str
) -> None:
    """A dump, made while two instances serve and restored elsewhere, is served; its ghosts are
    buried, what they ran is settled.
    """
    programs = binaries()
    assert programs is not None
    dump, gate = tmp_path / "headrace.dump", tmp_path / "gate"
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    with fleet(tmp_path / "before", shared_url) as servers, servers.start("one").client() as client:
        servers.start("two", workers=0)
        ended = client.submit("test.echo", {"n": 1})
        ended.wait(30)
        running = client.submit("test.record", {"log": str(tmp_path / "note"), "gate": str(gate)})
        until(lambda: running.refresh().status == "RUNNING", "the job runs")
        command = ["--format=custom", f"--file={dump}", shared_url]
        subprocess.run([programs / "pg_dump", *command], check=True, env=dict(os.environ))
        gate.touch()
    other = postgresql.create(f"{prefix}_restored")
    try:
        restore = ["--clean", "--if-exists", "--no-owner", f"--dbname={other}", str(dump)]
        subprocess.run([programs / "pg_restore", *restore], check=True, env=dict(os.environ))
        with fleet(tmp_path / "after", other) as servers, servers.start("one").client() as client:
            assert client.get(ended.job_id).result == {"n": 1}
            lost = client.wait(running.job_id, 30)
            assert lost.error is not None
            assert lost.error.kind == "INSTANCE_LOST"
            assert client.submit("test.echo").wait(30).status == "SUCCEEDED"
    finally:
        postgresql.drop(f"{prefix}_restored")
