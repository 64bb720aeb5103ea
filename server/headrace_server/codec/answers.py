"""Answers of JobService: what the use cases give to its messages."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from headrace.v1 import job_pb2, job_service_pb2
from headrace_server.codec import event_message, job_message
from headrace_server.codec.spec_fields import retry_policy
from headrace_server.codec.times import length
from headrace_server.domain.event import Event
from headrace_server.domain.job import Progress
from headrace_server.domain.ports.job_types import TypeInfo
from headrace_server.domain.query import Counts, FullJob, Group
from headrace_server.domain.requests import StopOutcome
from headrace_server.domain.updates import Finished, Heartbeat, Snapshot, Update

_ERROR_SHORT: Final = 200
"""Characters."""


def stopped(outcome: StopOutcome, job: FullJob) -> job_service_pb2.StopJobResponse:
    """Return the response that says what became of a stop."""
    return job_service_pb2.StopJobResponse(outcome=int(outcome), job=job_message.job_info(job))  # type: ignore[arg-type] # same numbers


def update(item: Update) -> job_pb2.JobUpdate | None:
    """One message of a watch; None for progress that cannot be shown."""
    match item:
        case Event():
            return job_pb2.JobUpdate(event=event_message.job_event(item))
        case Progress():
            return _progress_update(item)
        case Snapshot():
            return job_pb2.JobUpdate(snapshot=job_message.job_info(item.job))
        case Finished():
            return job_pb2.JobUpdate(finished=job_message.job_info(item.job))
        case Heartbeat():
            return job_pb2.JobUpdate(heartbeat=job_pb2.Heartbeat(revision=item.revision))


def _progress_update(latest: Progress) -> job_pb2.JobUpdate | None:
    # What is computed is bounded (work.dispatch.active_run): this is what an earlier version has
    # stored.
    try:
        return job_pb2.JobUpdate(progress=job_message.progress(latest))
    except (ValueError, TypeError):
        return None


def job_type(info: TypeInfo, instances: int) -> job_pb2.JobType:
    """A type of job."""
    message = job_pb2.JobType(
        type=info.type,
        description=info.description,
        module=info.module,
        parameters_schema=info.parameters_schema,
        result_schema=info.result_schema,
        load_error=info.load_error,
        workspace=info.needs_workspace,
        fresh=info.fresh,
        concurrency=info.concurrency if info.type else 0,
    )
    if info.type:
        message.retry_policy.CopyFrom(retry_policy(info.defaults.retry))
        message.instance_count = instances
        if info.defaults.timeout is not None:
            message.attempt_timeout.CopyFrom(length(info.defaults.timeout))
    return message


def fitted(types: Iterable[job_pb2.JobType], room: int) -> Iterator[job_pb2.JobType]:
    """Yield types of job as one answer can hold them.

    After `room` bytes they come without descriptions and schemas, and with short load errors.
    """
    for message in types:
        room -= message.ByteSize()
        if room < 0:
            for name in ("description", "parameters_schema", "result_schema"):
                message.ClearField(name)
            message.load_error = message.load_error[:_ERROR_SHORT]
        yield message


def count_groups(
    counts: Counts, groups: Sequence[Group]
) -> Iterator[job_service_pb2.CountJobsResponse.Group]:
    """The groups of a count; a status is called what the contract calls it."""
    for keys, count in counts.groups:
        named = (
            f"JOB_STATUS_{key}" if group is Group.STATUS else key
            for group, key in zip(groups, keys, strict=True)
        )
        yield job_service_pb2.CountJobsResponse.Group(keys=named, count=count)
