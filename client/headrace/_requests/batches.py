"""The requests that submit many jobs, and how an endless row of jobs is cut into them."""

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headrace._requests import spec
from headrace._requests.requests import Call
from headrace.errors import FieldViolation, InvalidArgument
from headrace.options import NewJob, SpecOptions
from headrace.v1 import job_pb2, job_service_pb2

BATCH_JOBS_MAX: Final = 10_000
"""The most jobs of a batch: the contract's limit."""
_BESIDE: Final = 1024
"""Bytes of a request besides its jobs: tenant, request_id, and what stands before each."""
_BEFORE: Final = 6
"""Bytes that stand before a job in its request, at most."""
_PLACE: Final = re.compile(r"jobs\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch on disk; existing when an earlier submit with this request_id made it."""

    batch_id: str
    job_ids: Sequence[str]
    existing: bool


def batch_submit(
    tenant: str, specs: Sequence[job_pb2.JobSpec], *, request_id: str | None, hold: bool
) -> Call[SubmittedBatch]:
    """BatchSubmitJobs; with a request_id of its own where none is given, so that it may be repeated."""
    request = job_service_pb2.BatchSubmitJobsRequest(
        tenant=tenant, request_id=request_id or str(uuid.uuid4()), jobs=specs, hold=hold
    )

    def read(answer: job_service_pb2.BatchSubmitJobsResponse) -> SubmittedBatch:
        return SubmittedBatch(answer.batch_id, tuple(answer.job_ids), answer.existing)

    return Call("BatchSubmitJobs", request, read)


def job_specs(jobs: Iterable[NewJob]) -> Iterator[job_pb2.JobSpec]:
    """The jobs as the contract has them. Raises InvalidArgument naming the place of a job."""
    for place, job in enumerate(jobs):
        spec.check_names(job.options, SpecOptions)
        try:
            yield spec.job_spec(job.job_type, job.parameters, job.options)
        except InvalidArgument as error:
            fields = [FieldViolation(f"jobs[{place}].{name}", text) for name, text in error.fields]
            raise _with_fields(error, fields) from None


def cut(
    specs: Iterable[job_pb2.JobSpec], *, most: int, max_bytes: int
) -> Iterator[Sequence[job_pb2.JobSpec]]:
    """Yields them in batches of at most so many jobs and bytes; one that is larger stands alone."""
    batch: list[job_pb2.JobSpec] = []
    size = _BESIDE
    for one in specs:
        more = one.ByteSize() + _BEFORE
        if batch and (len(batch) == most or size + more > max_bytes):
            yield batch
            batch, size = [], _BESIDE
        batch.append(one)
        size += more
    if batch:
        yield batch


def moved(error: InvalidArgument, by: int) -> InvalidArgument:
    """Returns an error of a batch that begins so many jobs behind the first of all."""
    if not by:
        return error
    fields = [
        FieldViolation(_PLACE.sub(lambda found: f"jobs[{int(found[1]) + by}]", name, count=1), text)
        for name, text in error.fields
    ]
    return _with_fields(error, fields)


def _with_fields(error: InvalidArgument, fields: Sequence[FieldViolation]) -> InvalidArgument:
    message = " ".join(f"{name}: {text}" for name, text in fields) or error.message
    return type(error)(
        message,
        code=error.code,
        reason=error.reason,
        metadata=error.metadata,
        fields=fields,
        retry_after=error.retry_after,
    )
