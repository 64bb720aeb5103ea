"""Converts answers about jobs to the values of headrace.info.

These are pure functions, shared by both clients. Events are in event_message, what AdminService
answers in admin_answers, and what all messages have in common in fields.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from headrace import info
from headrace._models.enums import CountGroup, StopOutcome
from headrace._models.retry_policy import RetryPolicy
from headrace._requests.fields import (
    duration_of,
    failure,
    phase,
    status,
    time_of,
    value_of,
    values_of,
    word,
)
from headrace.v1 import job_pb2, job_service_pb2


def job(message: job_pb2.JobInfo) -> info.JobInfo:
    """Returns a job from its message.

    Raises values.UnsupportedValue for a value of a kind that is newer than this library.
    """
    return info.JobInfo(
        job_id=message.job_id,
        tenant=message.tenant,
        spec=_spec(message.spec),
        status=status(message.status),
        final=message.final,
        revision=message.revision,
        etag=message.etag,
        create_time=time_of(message, "create_time"),
        queue_time=time_of(message, "queue_time"),
        start_time=time_of(message, "start_time"),
        end_time=time_of(message, "end_time"),
        status_time=time_of(message, "status_time"),
        next_attempt_time=time_of(message, "next_attempt_time"),
        progress=progress(message.progress) if message.HasField("progress") else None,
        result=value_of(message.result) if message.HasField("result") else None,
        results=values_of(message.results, "results"),
        error=failure(message),
        attempts=tuple(_attempt(attempt) for attempt in message.attempts),
        stop=_stop(message.stop) if message.HasField("stop") else None,
        instance=message.instance,
        worker=message.worker,
        locked=message.locked,
        traceparent=message.traceparent,
        batch_id=message.batch_id,
    )


def progress(message: job_pb2.JobProgress) -> info.Progress:
    """The progress of an attempt."""
    return info.Progress(
        done=message.done,
        total=message.total if message.HasField("total") else None,
        percent=message.percent if message.HasField("percent") else None,
        message=message.message,
        update_time=time_of(message, "update_time"),
        estimated_end_time=time_of(message, "estimated_end_time"),
    )


def job_type(message: job_pb2.JobType) -> info.JobType:
    """A type of job, or a module that failed to load."""
    return info.JobType(
        type=message.type,
        description=message.description,
        module=message.module,
        parameters_schema=_schema(message.parameters_schema),
        result_schema=_schema(message.result_schema),
        retry_policy=_retry(message.retry_policy) if message.HasField("retry_policy") else None,
        attempt_timeout=duration_of(message, "attempt_timeout"),
        instance_count=message.instance_count,
        load_error=message.load_error,
        workspace=message.workspace,
        fresh=message.fresh,
        concurrency=message.concurrency or 1,
    )


def counts(answer: job_service_pb2.CountJobsResponse, group_by: Sequence[CountGroup]) -> info.Counts:
    """Counts by group, statuses named as in JobStatus."""
    return info.Counts(
        groups=tuple(
            info.Count(
                keys=tuple(
                    key.removeprefix("JOB_STATUS_") if group is CountGroup.STATUS else key
                    for group, key in zip(group_by, row.keys, strict=True)
                ),
                count=row.count,
            )
            for row in answer.groups
        ),
        total=answer.total,
        at_least=answer.at_least,
    )


def stop_result(answer: job_service_pb2.StopJobResponse) -> info.StopResult:
    """Returns the result of a stop from its message."""
    outcome = word(StopOutcome, job_service_pb2.StopOutcome.DESCRIPTOR, answer.outcome, "STOP_OUTCOME_")
    return info.StopResult(outcome, job(answer.job))


def _spec(message: job_pb2.JobSpec) -> info.JobSpec:
    return info.JobSpec(
        **{
            field.name: _TURNED[field.name](message, field.name)
            if field.name in _TURNED
            else getattr(message, field.name)
            for field in fields(info.JobSpec)
        }
    )


def _retry(message: job_pb2.RetryPolicy) -> RetryPolicy | None:
    """Returns a retry policy, or None for one that is beyond the bounds of RetryPolicy.

    A field that is not set gets the default of RetryPolicy, which is that of the contract.
    """
    given: dict[str, Any] = {
        "max_attempts": message.max_attempts or None,
        "initial_backoff": duration_of(message, "initial_backoff"),
        "multiplier": message.multiplier or None,
        "max_backoff": duration_of(message, "max_backoff"),
    }
    try:
        return RetryPolicy(**{name: value for name, value in given.items() if value is not None})
    except ValueError:  # of a server that allows more, or has stored more once: the job is shown all the same
        return None


def _attempt(message: job_pb2.Attempt) -> info.Attempt:
    return info.Attempt(
        number=message.number,
        start_time=time_of(message, "start_time"),
        end_time=time_of(message, "end_time"),
        error=failure(message),
        instance=message.instance,
        worker=message.worker,
    )


def _stop(message: job_pb2.JobStop) -> info.StopInfo:
    return info.StopInfo(
        phase=phase(message.phase),
        request_time=time_of(message, "request_time"),
        requested_by=message.requested_by,
        reason=message.reason,
        kill_time=time_of(message, "kill_time"),
        confirmed=message.confirmed,
    )


def _schema(text: str) -> Mapping[str, Any] | None:
    schema: Mapping[str, Any] | None = json.loads(text) if text else None
    return schema


_TURNED: Mapping[str, Callable[[job_pb2.JobSpec, str], Any]] = {
    "parameters": lambda message, name: values_of(message.parameters, name),
    "labels": lambda message, _name: dict(message.labels),
    "run_after": time_of,
    "expire_time": time_of,
    "attempt_timeout": duration_of,
    "retry_policy": lambda message, _name: (
        _retry(message.retry_policy) if message.HasField("retry_policy") else None
    ),
}
"""Fields of a spec that the record holds otherwise.

Each other one is the field of its name, as it is.
"""
