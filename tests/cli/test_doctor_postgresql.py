"""`headrace doctor` on PostgreSQL: each trouble is made in a real server, found, and told with the
way out.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from cli.doctor import Doctor, of, troubles
from psycopg import sql

from headrace_server.doctor import Level, postgresql
from headrace_server.store.opening.inspect_postgresql import PostgresqlInspection, inspect_postgresql
from support.fleet import fleet
from support.server import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def doctor(tmp_path: Path, shared_url: str) -> Doctor:
    """The doctor of a set-up on PostgreSQL."""
    made = Doctor(tmp_path)
    made.flags["database-url"] = shared_url
    return made


def execute(url: str, *statements: str, **names: str) -> None:
    """Carry statements out, names in braces quoted."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            quoted = {name: sql.Identifier(text) for name, text in names.items()}
            connection.execute(sql.SQL(statement).format(**quoted))  # type: ignore[arg-type] # of this file


@contextmanager
def user(url: str, options: str = "") -> Iterator[str]:
    """The URL for a user who may do nothing but log in."""
    name, password = f"headrace_test_{secrets.token_hex(4)}", secrets.token_hex(8)
    execute(url, f"CREATE ROLE {{user}} LOGIN PASSWORD '{password}' {options}", user=name)
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname or "")
    try:
        yield parts._replace(netloc=f"{name}:{password}@{place}").geturl()
    finally:
        execute(url, "DROP OWNED BY {user}", "DROP ROLE {user}", user=name)


def seen(url: str) -> PostgresqlInspection:
    """What the doctor sees when all is well but for what this machine's PostgreSQL is told."""
    return replace(inspect_postgresql(url), unsafe=())


def judged(found: PostgresqlInspection, subject: str, *, durable: bool = True) -> tuple[Level, str]:
    """Level and text of the one finding about a subject."""
    (finding,) = [one for one in postgresql.assess(found, durable=durable) if one.subject == subject]
    return finding.level, finding.text


def test_a_sound_database(doctor: Doctor, shared_url: str) -> None:
    """What is well is told: version, schema, instances, connections; a server that syncs nothing is
    a warning.
    """
    found = doctor.finds(0)
    assert of(found, "database")[1].startswith("PostgreSQL 1")
    assert of(found, "schema")[1].startswith("The tables are those of this version")
    assert of(found, "instances") == ("ok", "None serves this database.")
    assert of(found, "connections")[1].endswith("an instance takes 9.")
    with psycopg.connect(shared_url) as connection:
        synced = connection.execute("SHOW fsync").fetchone() == ("on",)
    assert ("durability" in troubles(found)) is not synced
    assert synced or "fsync" in of(found, "durability")[1]
    assert "***" not in str(found)
    level, text = judged(seen(shared_url), "durability")
    assert (level, text) == (Level.OK, "A commit is on its disk when it is answered.")
    assert judged(seen(shared_url), "durability", durable=False)[0] is Level.WARNING


def test_beside_its_servers(doctor: Doctor, shared_url: str, tmp_path: Path) -> None:
    """Who serves the database is told by name; a server at the address is known as one of them, or
    as a stranger; each takes 9 connections.
    """
    (tmp_path / "stranger").mkdir()
    with fleet(tmp_path, shared_url) as servers:
        one = servers.start("one", workers=1)
        found = doctor.finds(0, address=one.target)
        level, text = of(found, "instances")
        assert level == "ok"
        assert f"-{one.process.pid}-" in text
        assert of(found, "address")[1].endswith("this set-up is running.")
        with psycopg.connect(shared_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'headrace %'"
            ).fetchone()
        assert row is not None
        assert 0 < row[0] <= inspect_postgresql(shared_url).connections_needed
        with Server(tmp_path / "stranger", workers=0) as stranger:
            assert "serves another database" in of(doctor.finds(1, address=stranger.target), "address")[1]


def test_a_database_that_does_not_answer(doctor: Doctor, shared_url: str) -> None:
    """Nobody there, no such database, a wrong password: the driver's words, and what to do about
    each (failure case 7).
    """
    level, text = of(doctor.finds(1, database_url="postgresql://headrace@127.0.0.1:1/jobs"), "database")
    assert level == "problem"
    assert "Connection refused" in text
    assert text.endswith(
        "start it, or give its host and port in --database-url; a server waits for it meanwhile."
    )
    missing = f"{shared_url}_missing"
    text = of(doctor.finds(1, database_url=missing), "database")[1]
    assert "does not exist" in text
    assert "user, password and database in --database-url are right" in text


def test_a_user_without_rights(doctor: Doctor, shared_url: str, tmp_path: Path) -> None:
    """A user who may not write the tables, or not make them, is told what to be granted; with the
    grants a server serves.
    """
    with user(shared_url) as url:
        name = str(urlsplit(url).username)
        level, text = of(doctor.finds(1, database_url=url), "schema")
        assert level == "problem"
        assert f"{name} may not read and write alembic_version, batch, " in text
        tables = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}"
        execute(shared_url, tables, user=name)
        assert (
            "may not read and write writer_writer_seq: GRANT"
            in of(doctor.finds(1, database_url=url), "schema")[1]
        )
        execute(shared_url, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}", user=name)
        assert of(doctor.finds(0, database_url=url), "schema")[0] == "ok"
        with fleet(tmp_path, url) as servers, servers.start("one").client() as client:
            assert client.submit("test.noop").wait(30).status == "SUCCEEDED"
        execute(shared_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        level, text = of(doctor.finds(1, database_url=url), "schema")
        assert level == "problem"
        assert f"GRANT CREATE ON SCHEMA public TO {name}" in text
    assert "no tables: the server, or `headrace db upgrade`" in of(doctor.finds(0), "schema")[1]


def test_a_newer_schema(doctor: Doctor, shared_url: str) -> None:
    """A schema from the future is a problem that names both versions (acceptance 89)."""
    execute(shared_url, "UPDATE alembic_version SET version_num = '9999'")
    level, text = of(doctor.finds(1), "schema")
    assert level == "problem"
    assert "written by a newer Headrace (schema 9999" in text


def test_an_encoding_that_cannot_hold_every_text(doctor: Doctor, shared_url: str) -> None:
    """A database that is not UTF8 is a problem."""
    name = f"headrace_test_{secrets.token_hex(4)}"
    execute(shared_url, "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", name=name)
    try:
        url = f"{shared_url.rpartition('/')[0]}/{name}"
        level, text = of(doctor.finds(1, database_url=url), "database")
        assert level == "problem"
        assert "its encoding is LATIN1" in text
    finally:
        execute(shared_url, "DROP DATABASE {name}", name=name)


def test_few_connections_left(doctor: Doctor, shared_url: str) -> None:
    """Fewer connections than an instance takes are a problem, a limit of the user or the database
    counted.
    """
    with user(shared_url, "CONNECTION LIMIT 5") as url:
        level, text = of(doctor.finds(1, database_url=url), "connections")
        assert level == "problem"
        assert text.startswith("5 are left for")
        assert "raise max_connections" in text
        with psycopg.connect(url):
            assert of(doctor.finds(1, database_url=url), "connections")[1].startswith("4 are left for")


def test_an_old_transaction(shared_url: str) -> None:
    """A transaction that was left open is seen with its process; after an hour it is a warning that
    says how to end it.
    """
    assert seen(shared_url).oldest is None
    with psycopg.connect(shared_url, application_name="forgotten") as connection:
        connection.execute("SELECT count(*) FROM job")
        found, pid = seen(shared_url), connection.info.backend_pid
    old = found.oldest
    assert old is not None
    assert (old.pid, old.program, old.state) == (pid, "forgotten", "idle in transaction")
    assert "transactions" not in {one.subject for one in postgresql.assess(found, durable=True)}
    level, text = judged(replace(found, oldest=replace(old, age=7200.0)), "transactions")
    assert level is Level.WARNING
    assert "(forgotten) has had a transaction open for 2.0 h (idle in transaction)" in text
    assert f"pg_terminate_backend({old.pid})" in text


def test_an_old_server(shared_url: str) -> None:
    """A PostgreSQL that is too old, or a standby, is a problem."""
    level, text = judged(replace(seen(shared_url), version=130_021, version_text="13.21"), "database")
    assert level is Level.PROBLEM
    assert "PostgreSQL 13.21 answers" in text
    assert "use PostgreSQL 14 or later" in text
    assert judged(replace(seen(shared_url), read_only=True), "database")[0] is Level.PROBLEM
