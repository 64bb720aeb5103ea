"""The schema and its versions: migrations make exactly the tables of schema.py, and nothing is
guessed at.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from contract.operations import submission
from sqlalchemy import text

from headrace_server.domain.job import Job
from headrace_server.store import SchemaMismatch, SqlStore, StoreRefused, sql
from headrace_server.store.opening import climb, migrate, steps
from headrace_server.store.outbox import leadership
from headrace_server.store.sql.sqlite import writer_engine
from headrace_server.store.tables import schema
from headrace_server.store.write import retention
from support.postgresql import Server


@pytest.fixture
def climbed(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that has come to the tables of this code step by step."""
    if database == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/climbed.db"
        take_steps(url)
        yield url
        return
    postgresql: Server = request.getfixturevalue("postgresql")
    name = f"{request.getfixturevalue('prefix')}_climbed"
    url = postgresql.create(name)
    take_steps(url)
    yield url
    postgresql.drop(name)


def take_steps(url: str) -> None:
    """Take them all."""
    engine = sql.of_url(url).owner_engine(url)
    with engine.begin() as connection:
        climb.climb(connection)
    engine.dispose()


def tables(path: Path) -> dict[str, str]:
    """Every table and index as the database describes it."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """The rows of every table."""
    engine = sql.of_url(url).owner_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(tuple(row) for row in connection.execute(table.select()))
            for table in (*schema.metadata.tables.values(), steps._version)
        }
    engine.dispose()
    return found


def test_migrations_make_the_schema(climbed: str) -> None:
    """Alembic finds no difference between a migrated database and the tables of the code."""
    engine = sql.of_url(climbed).owner_engine(climbed)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


@pytest.mark.only("sqlite")
def test_migrations_make_the_schema_to_the_letter(climbed: str, template: Path, tmp_path: Path) -> None:
    """Tables and indexes, partial ones and those without row ids included, are the same text, made
    at once or step by step.
    """
    assert climbed.endswith("/climbed.db")
    assert tables(template) == tables(tmp_path / "climbed.db")


def test_migrations_leave_the_rows_of_a_new_database(url: str, climbed: str) -> None:
    """A database made at once has the rows that the steps leave, its revision and the duties, and
    no others.
    """
    found = rows(url)
    assert found == rows(climbed)
    assert {name for name, there in found.items() if there} == {"duty", "alembic_version"}
    assert {row[0] for row in found["duty"]} == {leadership.DUTY, retention.DUTY}


def test_a_new_database_needs_no_alembic(tmp_path: Path) -> None:
    """To make the tables, and to serve those that are there, a server does not load Alembic."""
    program = "import sys; from headrace_server.store.opening import migrate; migrate.upgrade(sys.argv[1]); migrate.check(sys.argv[1]); assert 'alembic' not in sys.modules"
    url = f"sqlite:///{tmp_path}/new.db"
    subprocess.run([sys.executable, "-c", program, url], check=True)
    assert migrate.state(url).up_to_date


def test_an_old_database_is_taken_on_from_where_it_is(tmp_path: Path) -> None:
    """A database of the first tables gets what the later steps add, and nothing of what it has is
    made again.
    """
    url = f"sqlite:///{tmp_path}/old.db"
    engine = sql.of_url(url).owner_engine(url)
    with engine.begin() as connection:
        config = climb.configured()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO writer VALUES (7, 1)")
    engine.dispose()
    migrate.upgrade(url)
    assert migrate.state(url).up_to_date
    assert rows(url)["writer"] == [(7, 1, "")]


def test_a_job_row_is_a_job() -> None:
    """Each field of Job has a column of its name, and each column a field."""
    names = [field.name for field in fields(Job) if field.name != "kept"]  # no column
    assert sorted(schema.job.columns.keys()) == sorted(names)


def test_an_upgrade_is_needed_once(tmp_path: Path) -> None:
    """A new database is at no schema, after an upgrade at the head; another upgrade does nothing."""
    url = f"sqlite:///{tmp_path}/new.db"
    assert migrate.state(url).current is None
    migrate.upgrade(url)
    before = tables(tmp_path / "new.db")
    migrate.upgrade(url)
    assert migrate.state(url).up_to_date
    assert tables(tmp_path / "new.db") == before


def test_a_newer_database_is_refused(url: str) -> None:
    """A database of a schema that this code has never met is neither upgraded nor opened."""
    engine = sql.of_url(url).owner_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    assert not migrate.state(url).known
    for refuse in (migrate.upgrade, migrate.check, SqlStore.open):
        with pytest.raises(SchemaMismatch, match="written by a newer Headrace"):
            refuse(url)


@pytest.mark.parametrize("since", ["own", "0000"])
async def test_a_newer_database_that_serves_this_version_is_served(url: str, since: str) -> None:
    """Newer tables that say that they serve this version are opened and left as they are (failure
    case 29).
    """
    head = migrate.state(url).head
    revision = f"9999_since_{head[:4] if since == 'own' else since}"
    engine = sql.of_url(url).owner_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE job ADD COLUMN colour TEXT")
        connection.exec_driver_sql("ALTER TABLE ready ADD COLUMN weight INTEGER NOT NULL DEFAULT 1")
        connection.exec_driver_sql("CREATE TABLE palette (colour TEXT PRIMARY KEY)")
        connection.execute(text("UPDATE alembic_version SET version_num = :own"), {"own": revision})
    engine.dispose()
    migrate.upgrade(url)
    found = migrate.state(url)
    assert (found.current, found.known, found.serves) == (revision, False, True)
    store = SqlStore.open(url, durable=False)
    submitted = await store.submit(submission())
    await store.close()
    assert submitted.job.job.revision == 1


@pytest.mark.parametrize("revision", ["9999_since_9998", "9999", "9999_since_", "0000_since_0000", "x"])
def test_a_newer_database_that_does_not_say_so_is_refused(revision: str) -> None:
    """Tables that serve only newer code, or say nothing that can be read, are those of a newer
    version.
    """
    found = migrate.state_of(revision)
    assert not found.known
    assert not found.serves


def test_every_migration_says_which_code_it_serves() -> None:
    """Revisions are numbered without a gap, in files of their names; none serves code that the one
    before it did not.
    """
    taken = [*ScriptDirectory.from_config(climb.configured()).walk_revisions()][::-1]
    assert steps.revisions() == [step.revision for step in taken]
    least = 0
    for number, step in enumerate(taken, 1):
        own, _, since = step.revision.partition("_since_")
        assert own == f"{number:04}"
        assert least <= int(since or own) <= number
        least = int(since or own)


def test_a_database_without_tables_is_not_opened(tmp_path: Path) -> None:
    """The store opens only what was upgraded, and says so."""
    with pytest.raises(SchemaMismatch, match="upgrade it first"):
        SqlStore.open(f"sqlite:///{tmp_path}/new.db")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that SQLite cannot read is refused in a sentence that names it."""
    (tmp_path / "jobs.db").write_bytes(os.urandom(5000))
    with pytest.raises(StoreRefused, match=r"jobs.db cannot be used"):
        migrate.upgrade(f"sqlite:///{tmp_path}/jobs.db")


@pytest.mark.only("sqlite")
def test_connections_are_set_up(url: str) -> None:
    """A connection that writes waits for locks, keeps its log on disk at every commit, and holds 64
    MiB of pages.
    """
    for durable, synchronous in ((True, 2), (False, 0)):
        engine = writer_engine(url, durable=durable)
        with engine.connect() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in (
                    "journal_mode",
                    "synchronous",
                    "busy_timeout",
                    "cache_size",
                    "journal_size_limit",
                )
            }
        engine.dispose()
        assert pragmas == {
            "journal_mode": "wal",
            "synchronous": synchronous,
            "busy_timeout": 5000,
            "cache_size": -65_536,
            "journal_size_limit": 67_108_864,
        }


@pytest.mark.only("sqlite")
def test_a_database_that_cannot_be_written_is_refused(url: str, tmp_path: Path) -> None:
    """A database whose writes fail at the start is refused in a sentence, not served."""
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON writer BEGIN SELECT * FROM gone; END")
    with pytest.raises(StoreRefused, match=r"jobs.db cannot be written"):
        SqlStore.open(url)


def made_of(url: str) -> list[tuple[str, ...]]:
    """Every column and index of a PostgreSQL database as it describes them."""
    engine = sql.of_url(url).owner_engine(url)
    with engine.connect() as connection:
        columns = connection.exec_driver_sql(
            "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default "
            "FROM information_schema.columns WHERE table_schema = 'public'"
        ).all()
        indexes = connection.exec_driver_sql(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        ).all()
    engine.dispose()
    return sorted(tuple(map(str, row)) for row in (*columns, *indexes))


@pytest.mark.only("postgresql")
def test_migrations_make_the_schema_to_the_letter_on_postgresql(url: str, climbed: str) -> None:
    """On PostgreSQL too columns, their collations and indexes are the same, made either way; all
    texts compare by bytes.
    """
    made = made_of(url)
    assert made_of(climbed) == made
    assert {row[3] for row in made if row[2:3] == ("text",)} == {"C"}
