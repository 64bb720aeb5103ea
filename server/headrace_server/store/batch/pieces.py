"""Pieces of a batch as text: how jobs are kept that are staged and do not exist yet.

A text names its columns. A later version may have staged it with one more, and an earlier one
without one that came since.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from json import loads
from typing import Final

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.job import Job
from headrace_server.domain.ports.jobs import Submission
from headrace_server.domain.spec import SPEC_FIELDS, values_of
from headrace_server.store.tables import rows

PIECE_JOBS: Final = 200
"""Jobs that one transaction brings in: those that wait behind it wait for some 20 ms at most."""
PIECE_CHARS: Final = 256 * 1024
"""Characters of their parameters, likewise."""

_KEPT: Final = ("job_id", *SPEC_FIELDS)
_kept_row = rows.row_maker(_KEPT)
_EMPTY: Final = dict(zip(rows.JOB_FIELDS, rows.row_maker(rows.JOB_FIELDS)(Job(type="")), strict=True))


class StagedLater(StoreUnavailable):
    """A later version has staged it: this one would lose what it does not know of it."""

    def __init__(self, batch_id: str, columns: Collection[str]) -> None:
        super().__init__(
            f"Batch {batch_id} was staged by a later version, with {', '.join(sorted(columns))}: "
            "a server of that version has to complete it."
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Jobs in a row, as they are staged."""

    number: int
    jobs: int
    body: str


def cut(jobs: Sequence[Submission]) -> Iterator[Sequence[Submission]]:
    """Yield the jobs in pieces, in order."""
    first = size = 0
    for place, job in enumerate(jobs):
        size += len(job.parameters)
        if place > first and (place - first == PIECE_JOBS or size > PIECE_CHARS):
            yield jobs[first:place]
            first, size = place, len(job.parameters)
    yield jobs[first:]


def stage(number: int, jobs: Sequence[Submission]) -> Piece:
    """Return the text of a piece. All of its jobs are held, or none."""
    held = jobs[0].hold
    entries = [(*_kept_row(Job(**values_of(one.spec), job_id=one.job_id)), one.parameters) for one in jobs]
    body = rows.dumps({"columns": _KEPT, "hold": held, "jobs": entries})
    return Piece(number, len(jobs), body)


def read(body: str, batch_id: str, tenant: str) -> list[Submission]:
    """Return the jobs of a piece. Raises StagedLater."""
    staged = loads(body)
    columns = staged["columns"]
    if unknown := set(columns) - set(rows.JOB_FIELDS):
        raise StagedLater(batch_id, unknown)
    return [
        Submission(job.job_id, tenant, job, staged["hold"], "", "", parameters, batch_id)
        for *values, parameters in staged["jobs"]
        for job in (_job(columns, values),)
    ]


def _job(columns: Sequence[str], values: Sequence[object]) -> Job:
    given = {**_EMPTY, **dict(zip(columns, values, strict=True))}
    return rows.job_of(given[name] for name in rows.JOB_FIELDS)
