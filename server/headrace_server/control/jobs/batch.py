"""BatchSubmitJobs: many jobs, checked together and created together."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from headrace_server.control.validate.filters import raise_violations
from headrace_server.control.validate.limits import Limits
from headrace_server.control.validate.specs import check_spec
from headrace_server.domain import batch
from headrace_server.domain.errors import FieldViolation, InvalidArgument
from headrace_server.domain.ports.job_types import JobTypes
from headrace_server.domain.ports.jobs import Submission
from headrace_server.domain.spec import GivenSpec

PIECE: Final = 200
"""Jobs that are checked before others have their turn: some 20 ms of work."""
VIOLATIONS_MAX: Final = 50
"""Violations after which no more jobs are looked at: an error carries no more of them."""

SentSpec = Callable[[], tuple[GivenSpec, bytes]]
"""Reads a spec, and gives it with the bytes that say whether another is the same.

Raises InvalidArgument.
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was answered: its jobs in their order."""

    batch_id: str
    job_ids: Sequence[str]
    existing: bool


async def check(
    sent: Sequence[SentSpec], types: JobTypes, limits: Limits, *, batch_id: str, tenant: str, hold: bool
) -> tuple[list[Submission], str]:
    """Return the jobs to be created, and the digest of the whole.

    Raises InvalidArgument naming each field of each job that is at fault, and what JobTypes.check
    raises.
    """
    raise_violations(_size_violations(len(sent), limits))
    jobs: list[Submission] = []
    digest = hashlib.sha256(b"held" if hold else b"")
    faults: list[InvalidArgument] = []
    for place, (job_id, read) in enumerate(zip(batch.job_ids(batch_id, len(sent)), sent, strict=True)):
        if place % PIECE == PIECE - 1:
            await asyncio.sleep(0)
        try:
            given, content = read()
            spec, parameters = await check_spec(given, types, limits)
        except InvalidArgument as error:
            faults.append(_at(place, error))
            if sum(len(one.fields) for one in faults) >= VIOLATIONS_MAX:
                break
            continue
        digest.update(len(content).to_bytes(4) + content)
        jobs.append(Submission(job_id, tenant, spec, hold, "", "", parameters, batch_id))
    if faults:
        raise _together(faults)
    return jobs, f"batch {digest.hexdigest()}"


def _size_violations(count: int, limits: Limits) -> list[FieldViolation]:
    if not count:
        return [FieldViolation("jobs", "A batch has at least one job.")]
    if count > limits.batch_jobs:
        return [
            FieldViolation(
                "jobs", f"They are {count}; a batch has at most {limits.batch_jobs}: submit several batches."
            )
        ]
    return []


def _at(place: int, error: InvalidArgument) -> InvalidArgument:
    """The error with the place of the job in its fields: spec.queue is jobs[17].queue then."""
    fields = (
        FieldViolation(f"jobs[{place}].{field.removeprefix('spec.')}", text) for field, text in error.fields
    )
    return type(error)(*fields, **error.metadata)


def _together(faults: Sequence[InvalidArgument]) -> InvalidArgument:
    """All of them as one: of their kind where they are of one kind."""
    kinds = {type(one) for one in faults}
    kind = kinds.pop() if len(kinds) == 1 else InvalidArgument
    metadata = faults[0].metadata if kind is not InvalidArgument else {}
    return kind(*(field for one in faults for field in one.fields), **metadata)
