"""What is read from answers: jobs, events, types, counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from client.scripted import ScriptedServer, job

from headrace import Client, RetryPolicy, info
from headrace._requests import convert, event_message
from headrace.v1 import job_pb2
from headrace.v1 import job_service_pb2 as pb
from headrace.values import File, UnsupportedValue

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_job_is_read_in_full() -> None:
    """Times are in UTC, lengths are timedeltas, values are Python's, the rest is as sent."""
    message = job(
        "FAILED",
        create_time=NOON,
        queue_time=NOON,
        start_time=NOON + timedelta(seconds=2),
        end_time=NOON + timedelta(seconds=7),
        result={"file_value": {"uri": "s3://b/k"}},
        results={"n": {"int_value": 3}},
        error={"kind": "KIND_TIMED_OUT", "message": "Too slow.", "step": "load"},
        attempts=[{"number": 1, "start_time": NOON, "error": {"kind": "KIND_WORKER_LOST"}}],
        stop={"phase": "PHASE_ENDED", "reason": "late", "confirmed": True},
        progress={"done": 5, "total": 10, "percent": 50.0, "message": "half"},
        spec={
            "type": "demo",
            "parameters": {"x": {"double_value": 0.5}},
            "attempt_timeout": timedelta(minutes=5),
            "retry_policy": {"max_attempts": 3, "initial_backoff": timedelta(seconds=4)},
        },
    )
    read = convert.job(message)
    assert read.status is info.JobStatus.FAILED
    assert (read.create_time, read.next_attempt_time) == (NOON, None)
    assert (read.result, read.results) == (File("s3://b/k"), {"n": 3})
    assert (read.error.kind, read.error.step) == (info.ErrorKind.TIMED_OUT, "load")
    assert read.attempts[0].error.kind is info.ErrorKind.WORKER_LOST
    assert (read.stop.phase, read.stop.confirmed) == (info.StopPhase.ENDED, True)
    assert (read.progress.total, read.progress.percent, read.progress.update_time) == (10, 50, None)
    assert (read.spec.parameters, read.spec.attempt_timeout) == ({"x": 0.5}, timedelta(minutes=5))
    assert read.spec.retry_policy == RetryPolicy(max_attempts=3, initial_backoff=timedelta(seconds=4))
    assert (read.wait_time, read.run_time) == (timedelta(seconds=2), timedelta(seconds=5))


def test_what_is_not_set_is_none() -> None:
    """A job that has just been submitted has no times of later, no progress, no result."""
    read = convert.job(job("PENDING"))
    assert (read.queue_time, read.progress, read.result, read.error, read.stop) == (None,) * 5
    assert (read.wait_time, read.run_time) == (None, None)
    assert (read.spec.retry_policy, read.spec.attempt_timeout, read.attempts) == (None, None, ())


def test_what_python_cannot_hold_is_none() -> None:
    """A time beyond the calendar, a length or a policy beyond its bounds is left out, and the job
    is read all the same.
    """
    message = job("RUNNING", create_time=NOON, progress={"done": 5, "message": "half"})
    message.progress.estimated_end_time.seconds = 2_009_941_816_586
    message.start_time.seconds = -(2**62)
    message.spec.attempt_timeout.seconds = 2**60
    message.spec.retry_policy.multiplier = 1e160
    message.spec.retry_policy.initial_backoff.seconds = 2**62
    read = convert.job(message)
    assert (read.status, read.create_time, read.start_time) == ("RUNNING", NOON, None)
    assert (read.progress.done, read.progress.estimated_end_time) == (5, None)
    assert (read.spec.attempt_timeout, read.spec.retry_policy) == (None, None)


def test_times_count_up_to_now_while_they_last() -> None:
    """A job that still waits, or still runs, has waited or run until now."""
    ago = datetime.now(UTC) - timedelta(minutes=1)
    waits = convert.job(job("QUEUED", queue_time=ago))
    runs = convert.job(job("RUNNING", queue_time=ago, start_time=ago))
    assert timedelta(minutes=1) <= waits.wait_time < timedelta(minutes=2)
    assert runs.wait_time == timedelta()
    assert timedelta(minutes=1) <= runs.run_time < timedelta(minutes=2)


def test_a_job_that_never_started_waited_until_its_end() -> None:
    """An expired job's wait does not grow for ever."""
    read = convert.job(job("FAILED", queue_time=NOON, end_time=NOON + timedelta(hours=1)))
    assert (read.wait_time, read.run_time) == (timedelta(hours=1), None)


def test_words_of_a_newer_server_are_unknown() -> None:
    """A new status, kind or event does not break reading; final still says whether it has ended."""
    read = convert.job(_with_status(99))
    assert (read.status, read.final) == (info.JobStatus.UNKNOWN, True)
    event = event_message.event(job_pb2.JobEvent(revision=3))
    assert (event.kind, event.detail) == (info.EventKind.UNKNOWN, None)
    changed = job_pb2.JobStop()
    changed.phase = 99
    read = convert.job(job(stop=changed, error=job_pb2.JobError(kind=77)))
    assert (read.stop.phase, read.error.kind) == (info.StopPhase.UNKNOWN, info.ErrorKind.UNKNOWN)


def _with_status(number: int) -> job_pb2.JobInfo:
    message = job()
    message.status = number
    message.final = True
    return message


def test_a_value_of_a_newer_kind_is_refused() -> None:
    """It is UnsupportedValue, never None."""
    message = job()
    message.result.ParseFromString(b"\xf2\x01\x00")  # field 30, which no Value has yet
    with pytest.raises(UnsupportedValue):
        convert.job(message)


def test_a_payload_with_a_value_of_a_newer_kind_is_none() -> None:
    """The event is there without it, and whoever reads the job is told."""
    event = job_pb2.JobEvent()
    event.status_changed.payload_included = True
    assert event_message.event(event).payload == info.Payload(parameters={}, result=None, results={})
    event.status_changed.result.ParseFromString(b"\xf2\x01\x00")
    assert event_message.event(event).payload is None


KINDS: list[tuple[dict[str, Any], str, info.EventDetail | None]] = [
    ({"created": {}}, "CREATED", None),
    (
        {"status_changed": {"from": "JOB_STATUS_QUEUED", "to": "JOB_STATUS_TO_BE_RUN"}},
        "STATUS_CHANGED",
        info.StatusChange(info.JobStatus.QUEUED, info.JobStatus.TO_BE_RUN),
    ),
    (
        {"message_logged": {"level": "LEVEL_WARNING", "text": "hm", "source": "SOURCE_STDERR"}},
        "MESSAGE_LOGGED",
        info.LoggedMessage(info.MessageLevel.WARNING, "hm", info.MessageSource.STDERR),
    ),
    ({"result_set": {"name": "n"}}, "RESULT_SET", info.ResultSet("n")),
    (
        {"stop_changed": {"phase": "PHASE_KILLING"}},
        "STOP_CHANGED",
        info.StopChange(info.StopPhase.KILLING),
    ),
    ({"updated": {"paths": ["labels"]}}, "UPDATED", info.FieldsUpdated(("labels",))),
    ({"messages_dropped": {"count": 4}}, "MESSAGES_DROPPED", info.MessagesDropped(4)),
]


@pytest.mark.parametrize(("given", "kind", "detail"), KINDS)
def test_each_kind_of_event_is_read(
    given: dict[str, Any], kind: str, detail: info.EventDetail | None
) -> None:
    """The kind is a word, the detail a value of its own class."""
    event = event_message.event(job_pb2.JobEvent(job_id="j1", revision=2, event_time=NOON, **given))
    assert (event.kind, event.detail, event.event_time) == (kind, detail, NOON)


def test_every_word_of_the_contract_is_known() -> None:
    """Each enum has exactly the words of its counterpart."""
    pairs = [
        (info.JobStatus, job_pb2.JobStatus, "JOB_STATUS_"),
        (info.ErrorKind, job_pb2.JobError.Kind, "KIND_"),
        (info.StopPhase, job_pb2.JobStop.Phase, "PHASE_"),
        (info.StopOutcome, pb.StopOutcome, "STOP_OUTCOME_"),
        (info.MessageLevel, job_pb2.JobMessageLogged.Level, "LEVEL_"),
        (info.MessageSource, job_pb2.JobMessageLogged.Source, "SOURCE_"),
        (info.JobView, job_pb2.JobView, "JOB_VIEW_"),
        (info.JobOrder, job_pb2.JobOrder, "JOB_ORDER_"),
        (info.CountGroup, pb.CountGroup, "COUNT_GROUP_"),
    ]
    for words, enum, prefix in pairs:
        assert set(words) - {"UNKNOWN"} == {name.removeprefix(prefix) for name in enum.keys()} - {  # noqa: SIM118 - not a dict
            "UNSPECIFIED"
        }
    kinds = job_pb2.JobEvent.DESCRIPTOR.oneofs_by_name["kind"].fields
    assert set(info.EventKind) - {"UNKNOWN"} == {field.name.upper() for field in kinds}
    assert set(info.EventKind) - {"UNKNOWN"} == {word for _, word, _ in KINDS}


def test_types_are_read_with_their_schemas(client: Client, server: ScriptedServer) -> None:
    """The schema is JSON, and a module that failed to load says why."""
    server.on(
        "ListJobTypes",
        pb.ListJobTypesResponse(
            job_types=[
                {
                    "type": "demo",
                    "parameters_schema": '{"type": "object"}',
                    "attempt_timeout": timedelta(seconds=9),
                },
                {"module": "broken", "load_error": "ImportError: x"},
            ]
        ),
    )
    demo, broken = client.types()
    assert (demo.parameters_schema, demo.result_schema) == ({"type": "object"}, None)
    assert (demo.attempt_timeout, demo.retry_policy) == (timedelta(seconds=9), None)
    assert (broken.type, broken.load_error) == ("", "ImportError: x")
