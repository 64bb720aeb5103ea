"""A job as the contract shows it."""

import json

from headrace.v1 import job_pb2
from headrace.wire import map_to_proto, to_proto
from headrace_server.codec.fitting import blank, fitting
from headrace_server.codec.spec_fields import spec_message
from headrace_server.codec.times import timestamp, timestamp_or_none
from headrace_server.domain.job import Job, JobError, Progress, Stop
from headrace_server.domain.query import FullJob, Payload


def job_info(full: FullJob) -> job_pb2.JobInfo:
    """Return a job: view FULL when it comes with its payload, otherwise BASIC.

    What cannot be shown of the job is left out.
    """
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
        batch_id=job.batch_id,
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
