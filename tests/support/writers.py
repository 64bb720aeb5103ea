"""Who wrote what into the log of a shared database: the fence, asked of the rows themselves.

Every event names its writer, a number that one store has to itself; every attempt names its
instance. What a run says must have been written by the process that had the attempt.
"""

from collections.abc import Iterator
from json import loads
from typing import Final

import psycopg

from headrace_server.domain.event import EventKind

BY_RUNS: Final = (EventKind.MESSAGE_LOGGED, EventKind.MESSAGES_DROPPED, EventKind.RESULT_SET)
_QUESTION: Final = """
SELECT job.job_id, revision_, kind, attempt_, writer.instance, job.attempts
FROM job JOIN (SELECT job_id, revision AS revision_, kind, attempt AS attempt_, writer FROM job_event
               WHERE kind = ANY(%s)) AS said USING (job_id)
JOIN writer USING (writer)
ORDER BY job.job_id, revision_
"""


def stale_writes(url: str) -> list[str]:
    """Sentences about what was written for a run by a process that did not have it, or had it no
    longer.
    """
    with psycopg.connect(url) as connection:
        rows = connection.execute(_QUESTION, ([int(kind) for kind in BY_RUNS],)).fetchall()
    return list(_stale(rows))


def _stale(rows: list[tuple[str, int, int, int, str, str]]) -> Iterator[str]:
    for job_id, revision, kind, attempt, writer, attempts in rows:
        holder = loads(attempts)[attempt - 1]["instance"]
        if _process(writer) != _process(holder):
            yield f"job {job_id}: {EventKind(kind).name}, revision {revision} of attempt {attempt} of {holder}, was written by {writer}"


def _process(instance: str) -> str:
    """An instance that lives again has another id, and is the same process."""
    return instance.rpartition("-")[0]
