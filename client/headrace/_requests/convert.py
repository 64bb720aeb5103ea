"""Converts answers of the contract to the values of headrace.info.

These are pure functions, shared by both clients.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from headrace import info, values, wire
from headrace._models.enums import (
    CountGroup,
    ErrorKind,
    EventKind,
    GateScope,
    JobStatus,
    MessageLevel,
    MessageSource,
    StopOutcome,
    StopPhase,
)
from headrace._models.retry_policy import RetryPolicy
from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2, value_pb2

W = TypeVar("W", JobStatus, ErrorKind, StopOutcome, StopPhase, MessageLevel, MessageSource, GateScope)


def job(message: job_pb2.JobInfo) -> info.JobInfo:
    """Returns a job from its message.

    Raises values.UnsupportedValue for a value of a kind that is newer than this library.
    """
    return info.JobInfo(
        job_id=message.job_id,
        tenant=message.tenant,
        spec=_spec(message.spec),
        status=_status(message.status),
        final=message.final,
        revision=message.revision,
        etag=message.etag,
        create_time=_time(message, "create_time"),
        queue_time=_time(message, "queue_time"),
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        status_time=_time(message, "status_time"),
        next_attempt_time=_time(message, "next_attempt_time"),
        progress=progress(message.progress) if message.HasField("progress") else None,
        result=_value(message.result) if message.HasField("result") else None,
        results=_values(message.results, "results"),
        error=_failure(message),
        attempts=tuple(_attempt(attempt) for attempt in message.attempts),
        stop=_stop(message.stop) if message.HasField("stop") else None,
        instance=message.instance,
        worker=message.worker,
        locked=message.locked,
        traceparent=message.traceparent,
    )


def progress(message: job_pb2.JobProgress) -> info.Progress:
    """The progress of an attempt."""
    return info.Progress(
        done=message.done,
        total=message.total if message.HasField("total") else None,
        percent=message.percent if message.HasField("percent") else None,
        message=message.message,
        update_time=_time(message, "update_time"),
        estimated_end_time=_time(message, "estimated_end_time"),
    )


def event(message: job_pb2.JobEvent) -> info.JobEvent:
    """An event of a job's history; of a kind UNKNOWN when this client does not know it."""
    kind = message.WhichOneof("kind")
    return info.JobEvent(
        job_id=message.job_id,
        tenant=message.tenant,
        type=message.type,
        revision=message.revision,
        event_time=_time(message, "event_time"),
        attempt=message.attempt,
        status=_status(message.status),
        final=message.final,
        kind=EventKind[kind.upper()] if kind is not None else EventKind.UNKNOWN,
        detail=_detail(message),
        payload=_payload(message),
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
        attempt_timeout=_duration(message, "attempt_timeout"),
        instance_count=message.instance_count,
        load_error=message.load_error,
        workspace=message.workspace,
        fresh=message.fresh,
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
    outcome = _word(StopOutcome, job_service_pb2.StopOutcome.DESCRIPTOR, answer.outcome, "STOP_OUTCOME_")
    return info.StopResult(outcome, job(answer.job))


def server_info(answer: admin_service_pb2.GetServerInfoResponse) -> info.ServerInfo:
    """Returns the description of a server from its message."""
    return info.ServerInfo(
        version=answer.version,
        instance=answer.instance,
        start_time=_time(answer, "start_time"),
        settings=dict(answer.settings),
        limits=dict(answer.limits),
        counters=dict(answer.counters),
        draining=answer.draining,
    )


def instances(answer: admin_service_pb2.ListInstancesResponse) -> tuple[info.Instance, ...]:
    """The instances of a database."""
    return tuple(
        info.Instance(
            instance=one.instance,
            live=one.live,
            start_time=_time(one, "start_time"),
            host=one.host,
            pid=one.pid,
            address=one.address,
            version=one.version,
            workers=one.workers,
            running=one.running,
            types=tuple(one.types),
            draining=one.draining,
            queues=tuple(one.queues),
        )
        for one in answer.instances
    )


def gate(message: admin_service_pb2.Gate) -> info.Gate:
    """Returns a gate from its message."""
    return info.Gate(
        scope=_word(GateScope, admin_service_pb2.GateScope.DESCRIPTOR, message.scope, "GATE_SCOPE_"),
        name=message.name,
        paused=message.paused,
        max_running=message.max_running if message.HasField("max_running") else None,
        max_running_per_owner=message.max_running_per_owner
        if message.HasField("max_running_per_owner")
        else None,
        weight=message.weight,
    )


def traffic(message: admin_service_pb2.Traffic) -> info.Traffic:
    """Returns the traffic of a queue or a tenant from its message."""
    return info.Traffic(
        gate=gate(message.gate),
        waiting=message.waiting,
        waiting_at_least=message.waiting_at_least,
        oldest_queue_time=_time(message, "oldest_queue_time"),
        running=message.running,
    )


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
        "initial_backoff": _duration(message, "initial_backoff"),
        "multiplier": message.multiplier or None,
        "max_backoff": _duration(message, "max_backoff"),
    }
    try:
        return RetryPolicy(**{name: value for name, value in given.items() if value is not None})
    except ValueError:  # of a server that allows more, or has stored more once: the job is shown all the same
        return None


def _attempt(message: job_pb2.Attempt) -> info.Attempt:
    return info.Attempt(
        number=message.number,
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        error=_failure(message),
        instance=message.instance,
        worker=message.worker,
    )


def _failure(
    message: job_pb2.JobInfo | job_pb2.Attempt | job_pb2.JobStatusChanged,
) -> info.JobError | None:
    """The error of a message that may hold one."""
    if not message.HasField("error"):
        return None
    error = message.error
    return info.JobError(
        kind=_word(ErrorKind, job_pb2.JobError.Kind.DESCRIPTOR, error.kind, "KIND_"),
        code=error.code,
        type=error.type,
        message=error.message,
        step=error.step,
        traceback=error.traceback,
    )


def _stop(message: job_pb2.JobStop) -> info.StopInfo:
    return info.StopInfo(
        phase=_phase(message.phase),
        request_time=_time(message, "request_time"),
        requested_by=message.requested_by,
        reason=message.reason,
        kill_time=_time(message, "kill_time"),
        confirmed=message.confirmed,
    )


def _detail(message: job_pb2.JobEvent) -> info.EventDetail | None:
    read = _DETAILS.get(message.WhichOneof("kind") or "")
    return read(message) if read is not None else None


def _payload(message: job_pb2.JobEvent) -> info.Payload | None:
    created, changed = message.created, message.status_changed
    if not (created.payload_included or changed.payload_included):
        return None
    try:
        return info.Payload(
            parameters=_values(created.parameters, "parameters"),
            result=_value(changed.result) if changed.HasField("result") else None,
            results=_values(changed.results, "results"),
        )
    except values.UnsupportedValue:  # of a newer server: whoever reads the job is told
        return None


def _status_change(message: job_pb2.JobEvent) -> info.StatusChange:
    change = message.status_changed
    # "from" is a keyword in Python.
    return info.StatusChange(_status(getattr(change, "from")), _status(change.to), _failure(change))


def _logged(message: job_pb2.JobEvent) -> info.LoggedMessage:
    logged = message.message_logged
    return info.LoggedMessage(
        level=_word(MessageLevel, job_pb2.JobMessageLogged.Level.DESCRIPTOR, logged.level, "LEVEL_"),
        text=logged.text,
        source=_word(MessageSource, job_pb2.JobMessageLogged.Source.DESCRIPTOR, logged.source, "SOURCE_"),
    )


_DETAILS: Mapping[str, Callable[[job_pb2.JobEvent], info.EventDetail]] = {
    "status_changed": _status_change,
    "message_logged": _logged,
    "result_set": lambda message: info.ResultSet(message.result_set.name),
    "stop_changed": lambda message: info.StopChange(_phase(message.stop_changed.phase)),
    "updated": lambda message: info.FieldsUpdated(tuple(message.updated.paths)),
    "messages_dropped": lambda message: info.MessagesDropped(message.messages_dropped.count),
}


def _status(number: int) -> JobStatus:
    return _word(JobStatus, job_pb2.JobStatus.DESCRIPTOR, number, "JOB_STATUS_")


def _phase(number: int) -> StopPhase:
    return _word(StopPhase, job_pb2.JobStop.Phase.DESCRIPTOR, number, "PHASE_")


def _word(words: type[W], names: EnumDescriptor, number: int, prefix: str) -> W:
    """The word for a number; UNKNOWN for one that is newer than this client, or not given."""
    value = names.values_by_number.get(number)
    name = value.name.removeprefix(prefix) if value is not None else "UNKNOWN"
    return words[name] if name in words.__members__ else words.UNKNOWN


def _time(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):  # beyond the calendar: the rest of the answer is none the worse
        return None


def _duration(message: Message, field: str) -> timedelta | None:
    if not message.HasField(field):
        return None
    span: Duration = getattr(message, field)
    try:
        return span.ToTimedelta()
    except (ValueError, OverflowError):  # likewise
        return None


def _schema(text: str) -> Mapping[str, Any] | None:
    schema: Mapping[str, Any] | None = json.loads(text) if text else None
    return schema


def _value(message: value_pb2.Value) -> Any:
    return values.decode(wire.from_proto(message))


def _values(messages: Mapping[str, value_pb2.Value], field: str) -> dict[str, Any]:
    return {name: values.decode(plain) for name, plain in wire.map_from_proto(messages, field).items()}


_TURNED: Mapping[str, Callable[[job_pb2.JobSpec, str], Any]] = {
    "parameters": lambda message, name: _values(message.parameters, name),
    "labels": lambda message, _name: dict(message.labels),
    "run_after": _time,
    "expire_time": _time,
    "attempt_timeout": _duration,
    "retry_policy": lambda message, _name: (
        _retry(message.retry_policy) if message.HasField("retry_policy") else None
    ),
}
"""Fields of a spec that the record holds otherwise.

Each other one is the field of its name, as it is.
"""
