"""Answers: what the use cases give to protobuf."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf.message import Message

from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2
from headrace.wire import map_to_proto, to_proto
from headrace_server.codec.fitting import blank, fitting, left_out
from headrace_server.codec.spec_fields import retry_policy, spec_message
from headrace_server.codec.times import length, timestamp, timestamp_or_none
from headrace_server.control.jobs.single import StopOutcome
from headrace_server.control.watch.follow import Finished, Heartbeat, Snapshot, Update
from headrace_server.domain.bounds import time_or_none
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.gate import Gate, QueueStats
from headrace_server.domain.job import Job, JobError, Progress, Stop
from headrace_server.domain.ports.cluster import Instance
from headrace_server.domain.ports.job_types import TypeInfo
from headrace_server.domain.query import Counts, FullJob, Group, Payload

_ERROR_SHORT = 200
"""Characters."""


_SCOPES = {name.removeprefix("GATE_SCOPE_"): number for name, number in admin_service_pb2.GateScope.items()}


def gate(gate: Gate) -> admin_service_pb2.Gate:
    """What is said of a queue, a tenant or a type."""
    return admin_service_pb2.Gate(
        scope=_SCOPES.get(gate.scope.name, admin_service_pb2.GATE_SCOPE_UNSPECIFIED),
        name=gate.name,
        paused=gate.paused,
        max_running=gate.max_running,
        max_running_per_owner=gate.max_running_per_owner,
        weight=gate.weight,
    )


def traffic(found: QueueStats) -> admin_service_pb2.Traffic:
    """What a queue or a tenant is doing."""
    return admin_service_pb2.Traffic(
        gate=gate(found.gate),
        waiting=found.waiting,
        waiting_at_least=found.at_least,
        oldest_queue_time=None if found.oldest is None else timestamp_or_none(time_or_none(found.oldest)),
        running=found.running,
    )


def instance(one: Instance) -> admin_service_pb2.Instance:
    """An instance, with what it tells of itself as far as this version knows it: another may tell more, or otherwise."""
    message = admin_service_pb2.Instance(instance=one.instance, live=one.live, running=one.held)
    with suppress(ValueError):
        message.start_time.CopyFrom(timestamp(one.start_time))
    for name, said in one.about.items():
        if name in _TOLD:
            with suppress(ValueError, TypeError):
                message.MergeFrom(admin_service_pb2.Instance(**{name: said}))
    return message


_TOLD = frozenset(admin_service_pb2.Instance.DESCRIPTOR.fields_by_name) - {
    "instance",
    "live",
    "start_time",
    "running",
}


def job_info(full: FullJob) -> job_pb2.JobInfo:
    """A job: view FULL when it comes with its payload, else BASIC. What cannot be shown of it is left out."""
    try:
        return _job_info(full)
    except Exception:  # noqa: BLE001 - whatever one job holds, it is shown, and so are those beside it
        return _job_info(_as_far_as_shown(full))


def _as_far_as_shown(full: FullJob) -> FullJob:
    job = full.job
    least = None if full.payload is None else Payload("{}", None, {})
    shown = fitting(job.job_id, job, blank(job), lambda part: _job_info(FullJob(part, least)))
    if full.payload is None or least is None:
        return FullJob(shown)
    payload = fitting(job.job_id, full.payload, least, lambda part: _job_info(FullJob(shown, part)))
    return FullJob(shown, payload)


def _job_info(full: FullJob) -> job_pb2.JobInfo:
    job, payload = full.job, full.payload
    info = job_pb2.JobInfo(
        job_id=job.job_id,
        tenant=job.tenant,
        spec=_spec(job, payload),
        status=int(job.status),  # type: ignore[arg-type] # the numbers are the contract's
        final=job.ended,
        revision=job.revision,
        etag=job.etag,
        create_time=timestamp(job.create_time),
        queue_time=timestamp_or_none(job.queue_time),
        start_time=timestamp_or_none(job.start_time),
        end_time=timestamp_or_none(job.end_time),
        status_time=timestamp(job.status_time),
        next_attempt_time=timestamp_or_none(job.next_attempt_time),
        instance=job.instance,
        worker=job.worker,
        locked=job.locked,
        progress=None if job.progress is None else progress(job.progress),
        error=None if job.error is None else _error(job.error, traceback=payload is not None),
        stop=None if job.stop is None else _stop(job.stop),
        traceparent=job.traceparent,
    )
    for attempt in job.attempts:
        info.attempts.add(
            number=attempt.number,
            start_time=timestamp(attempt.start_time),
            end_time=timestamp_or_none(attempt.end_time),
            instance=attempt.instance,
            worker=attempt.worker,
            error=None if attempt.error is None else _error(attempt.error, traceback=False),
        )
    if payload is not None:
        _results(info, payload)
    return info


def _results(info: job_pb2.JobInfo, payload: Payload) -> None:
    if payload.result is not None:
        info.result.CopyFrom(to_proto(json.loads(payload.result)))
    map_to_proto(info.results, {name: json.loads(text) for name, text in payload.results.items()})


def _spec(job: Job, payload: Payload | None) -> job_pb2.JobSpec:
    spec = spec_message(job)
    if payload is not None:
        map_to_proto(spec.parameters, json.loads(payload.parameters))
    return spec


def progress(latest: Progress) -> job_pb2.JobProgress:
    """Progress."""
    return job_pb2.JobProgress(
        done=latest.done,
        total=latest.total,
        percent=latest.percent,
        message=latest.message,
        update_time=timestamp(latest.update_time),
        estimated_end_time=timestamp_or_none(latest.estimated_end_time),
    )


def _error(error: JobError, *, traceback: bool) -> job_pb2.JobError:
    return job_pb2.JobError(
        kind=int(error.kind),  # type: ignore[arg-type] # the numbers are the contract's
        code=error.code,
        type=error.type,
        message=error.message,
        step=error.step,
        traceback=error.traceback if traceback else "",
    )


def _stop(stop: Stop) -> job_pb2.JobStop:
    return job_pb2.JobStop(
        phase=int(stop.phase),  # type: ignore[arg-type] # the numbers are the contract's
        request_time=timestamp(stop.request_time),
        requested_by=stop.requested_by,
        reason=stop.reason,
        kill_time=timestamp(stop.kill_time),
        confirmed=stop.confirmed,
    )


def job_event(event: Event) -> job_pb2.JobEvent:
    """An event of the log; without its kind and what that tells, where that cannot be shown."""
    try:
        return whole_event(event)
    except Exception as error:  # noqa: BLE001 - whatever it holds, the history goes on behind it
        left_out(event.job_id, f"event {event.revision}", error)
        return _which_event(event)


def whole_event(event: Event) -> job_pb2.JobEvent:
    """An event of the log. Raises whatever it may be where that cannot be shown."""
    message = _which_event(event)
    message.event_time.CopyFrom(timestamp(event.at))
    _set_kind(message, event.kind, event.body)
    return message


def _which_event(event: Event) -> job_pb2.JobEvent:
    return job_pb2.JobEvent(
        job_id=event.job_id,
        tenant=event.tenant,
        type=event.type,
        revision=event.revision,
        attempt=event.attempt,
        status=int(event.status),  # type: ignore[arg-type] # the numbers are the contract's
        final=event.status.final,
    )


def _set_kind(message: job_pb2.JobEvent, kind: EventKind, body: Mapping[str, Any]) -> None:
    match kind:
        case EventKind.CREATED:
            message.created.SetInParent()
        case EventKind.STATUS_CHANGED:
            changed = message.status_changed
            setattr(changed, "from", body["from"])
            changed.to = body["to"]
            if "error" in body:
                _add_known(changed.error, body["error"])
        case EventKind.MESSAGE_LOGGED:
            _add_known(message.message_logged, body)
        case EventKind.RESULT_SET:
            message.result_set.name = body["name"]
            message.result_set.SetInParent()
        case EventKind.STOP_CHANGED:
            message.stop_changed.phase = body["phase"]
        case EventKind.UPDATED:
            message.updated.paths.extend(body["paths"])
        case EventKind.MESSAGES_DROPPED:
            message.messages_dropped.count = body["count"]


def _add_known(message: Message, body: Mapping[str, Any]) -> None:
    """The fields of a record that this version knows."""
    message.SetInParent()
    known = message.DESCRIPTOR.fields_by_name
    message.MergeFrom(type(message)(**{name: value for name, value in body.items() if name in known}))


def stopped(outcome: StopOutcome, job: FullJob) -> job_service_pb2.StopJobResponse:
    """What became of a stop."""
    return job_service_pb2.StopJobResponse(outcome=int(outcome), job=job_info(job))  # type: ignore[arg-type] # same numbers


def update(item: Update) -> job_pb2.JobUpdate | None:
    """One message of a watch; None for progress that cannot be shown."""
    match item:
        case Event():
            return job_pb2.JobUpdate(event=job_event(item))
        case Progress():
            return _progress_update(item)
        case Snapshot():
            return job_pb2.JobUpdate(snapshot=job_info(item.job))
        case Finished():
            return job_pb2.JobUpdate(finished=job_info(item.job))
        case Heartbeat():
            return job_pb2.JobUpdate(heartbeat=job_pb2.Heartbeat(revision=item.revision))


def _progress_update(latest: Progress) -> job_pb2.JobUpdate | None:
    # What is computed is bounded (work.dispatch.active_run): this is what an earlier version has stored.
    try:
        return job_pb2.JobUpdate(progress=progress(latest))
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
    )
    if info.type:
        message.retry_policy.CopyFrom(retry_policy(info.defaults.retry))
        message.instance_count = instances
        if info.defaults.timeout is not None:
            message.attempt_timeout.CopyFrom(length(info.defaults.timeout))
    return message


def fitted(types: Iterable[job_pb2.JobType], room: int) -> Iterator[job_pb2.JobType]:
    """Types of job as one answer can hold them: behind so many bytes, without their descriptions and schemas."""
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
