"""Databases filled with jobs by bulk SQL, as submits and runs would have left them: P6 claims from
them.
"""

from typing import Final, NamedTuple

from sqlalchemy import text

from headrace_server.store import sql
from headrace_server.store.opening import migrate

QUEUED: Final = 2
SUCCEEDED: Final = 5
OTHERS: Final = 100
"""Jobs of other owners, behind those of the one who is at his limit."""


class Part(NamedTuple):
    """Jobs that are alike but for their number `n`: SQL for what differs."""

    count: int
    status: int
    queue: str = "'plain'"
    tenant: str = "'one'"
    owner: str = "''"
    priority: int = 0


def parts(queued: int, finished: int) -> list[Part]:
    """So many queued jobs, and so many that have ended."""
    quarter = queued // 4
    return [
        Part(finished, SUCCEEDED),
        Part(queued - 2 * quarter, QUEUED),
        Part(quarter, QUEUED, queue="'many'", tenant="'t' || (n % 1000)"),
        Part(quarter - OTHERS, QUEUED, queue="'limited'", owner="'full'", priority=1),
        Part(OTHERS, QUEUED, queue="'limited'", owner="'o' || n"),
    ]


def fill(url: str, queued: int, finished: int) -> None:
    """Make the tables and fill them."""
    migrate.upgrade(url)
    engine = sql.of_url(url).owner_engine(url)
    first = 1
    with engine.begin() as connection:
        for part in parts(queued, finished):
            given = {"first": first, "last": first + part.count - 1}
            for statement in _statements(part):
                connection.execute(text(statement), given)
            first += part.count
    if engine.dialect.name == "postgresql":  # what autovacuum does
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _statements(part: Part) -> list[str]:
    # Ids of one length that rise with time, as those of Headrace do.
    job_id = "substr(CAST(1000000000000 + n AS TEXT), 2)"
    job = {
        "job_id": job_id,
        "tenant": part.tenant,
        "type": "'t'",
        "description": "''",
        "owner": part.owner,
        "session_id": "''",
        "queue": part.queue,
        "priority": str(part.priority),
        "status": str(part.status),
        "revision": "1",
        "version": "1",
        "create_time": "n",
        "status_time": "n",
        "queue_time": "n",
        "end_time": "n" if part.status == SUCCEEDED else "NULL",
        "claim": "0",
        "attempt": "0",
        "instance": "''",
        "worker": "''",
        "locked": "false",
        "message_count": "0",
        "dropped_count": "0",
    }
    event = {
        "job_id": job_id,
        "revision": "1",
        "writer": "0",
        "seq": "n",
        "kind": "1",
        "at": "n",
        "attempt": "0",
        "status": str(part.status),
    }
    ready = {
        "queue": part.queue,
        "type": "'t'",
        "tenant": part.tenant,
        "neg_priority": str(-part.priority),
        "at": "n",
        "job_id": job_id,
        "owner": part.owner,
    }
    tables = {"job": job, "job_parameters": {"job_id": job_id, "body": "'{}'"}, "job_event": event}
    if part.status == QUEUED:
        tables["ready"] = ready
    return [_insert(table, columns) for table, columns in tables.items()]


def _insert(table: str, columns: dict[str, str]) -> str:
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - no outside text
        "WITH RECURSIVE number (n) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT n + 1 FROM number WHERE n < :last) "
        f"SELECT {', '.join(columns.values())} FROM number"
    )
