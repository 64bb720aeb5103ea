"""What is shown of a job of which a part cannot be shown."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from headrace._requests import convert as client
from headrace._requests import event_message as client_event
from headrace.v1 import job_pb2
from headrace_server.codec import answers, event_message, fitting, job_message
from headrace_server.codec.event_bodies import FORMATS
from headrace_server.domain import requests, running
from headrace_server.domain.broadcast import Broadcast
from headrace_server.domain.event import Event, EventKind
from headrace_server.domain.job import Attempt, ErrorKind, Job, JobError, Progress, Status
from headrace_server.domain.ports.job_types import TypeInfo
from headrace_server.domain.query import FullJob, Payload
from headrace_server.domain.spec import RetryPolicy, Spec

NOW = 1_700_000_000_000_000
FAR = 2_009_941_816_586_000_000
ERROR = JobError(ErrorKind.EXCEPTION, "no", traceback="line 1")
PROGRESS = Progress(3, 9, "reading", NOW, 33.3, NOW)
PAYLOAD = Payload('{"a":1}', '"made"', {"b": "2"})


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    """What was left out before this test is told again."""
    fitting._told.forget()


def a_job(**fields: Any) -> Job:
    """A job in its second attempt, with these fields."""
    spec = Spec("copy", description="a copy", owner="me", labels={"k": "v"}, timeout=5_000_000)
    claimed = running.claim(
        requests.create("j", "t", spec, NOW, hold=False).job, NOW, instance="i", worker="w"
    )
    job = running.permit(claimed.job, NOW, claim=1, instance="i", worker="w").job
    first = Attempt(1, NOW, "i", "w", NOW, ERROR)
    return replace(
        job,
        **{"progress": PROGRESS, "error": ERROR, "attempts": (first, Attempt(2, NOW, "i", "w")), **fields},
    )


def shown(job: Job, payload: Payload | None = PAYLOAD) -> dict[str, Any]:
    """What a client is shown of it; reading it raises nothing either."""
    message = job_message.job_info(FullJob(job, payload))
    client.job(job_pb2.JobInfo.FromString(message.SerializeToString()))
    return MessageToDict(message)


def without(whole: dict[str, Any], path: str) -> dict[str, Any]:
    """A message but for one field, which is there."""
    name, _, rest = path.partition(".")
    left = dict(whole)
    if rest:
        left[name] = without(whole[name], rest)
    else:
        del left[name]
    return left


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"progress": replace(PROGRESS, estimated_end_time=FAR)}, "progress.estimatedEndTime"),
        ({"progress": replace(PROGRESS, percent="a third")}, "progress.percent"),
        ({"progress": replace(PROGRESS, total=2**63)}, "progress"),
        ({"progress": replace(PROGRESS, done=-(2**80))}, "progress"),
        ({"progress": replace(PROGRESS, update_time=FAR)}, "progress"),
        ({"start_time": FAR}, "startTime"),
        ({"timeout": 2**80}, "spec.attemptTimeout"),
        ({"labels": {"k": 5}}, "spec.labels"),
        ({"error": replace(ERROR, traceback=7)}, "error.traceback"),
        ({"error": replace(ERROR, message=7)}, "error"),
        ({"description": "\ud800"}, "spec.description"),
        ({"worker": 5}, "worker"),
    ],
)
def test_one_part_is_left_out(
    fields: Mapping[str, Any], missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All of the job is shown but the part that cannot be, and the log tells of it once, however
    often it is asked for.
    """
    whole = shown(a_job())
    broken = a_job(**fields)
    assert [shown(broken) for _ in range(3)] == [without(whole, missing)] * 3
    assert [record.job_id for record in caplog.records] == ["j"]  # type: ignore[attr-defined] # given as extra


def test_a_bad_attempt_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Of several attempts, and several labels, those are shown that can be."""
    job = a_job(labels={"k": "v", "bad": 1})
    job = replace(job, attempts=(replace(job.attempts[0], start_time=FAR), *job.attempts[1:]))
    made = shown(job)
    assert [attempt["number"] for attempt in made["attempts"]] == [2]
    assert made["spec"]["labels"] == {"k": "v"}
    assert len(caplog.records) == 2


def test_a_policy_beyond_its_bounds_is_shown_as_the_default() -> None:
    """A policy that no message can carry gives way to the one that repeats nothing."""
    made = shown(a_job(retry=RetryPolicy(3, 2**80, 2.0, 2**90)))
    assert made["spec"]["retryPolicy"]["maxAttempts"] == 1


@pytest.mark.parametrize(
    ("payload", "missing"),
    [
        (replace(PAYLOAD, parameters="{"), "spec.parameters"),
        (replace(PAYLOAD, parameters='{"a":{"$":"newer","v":1}}'), "spec.parameters"),
        (replace(PAYLOAD, result='{"$":"timestamp","v":"x"}'), "result"),
        (replace(PAYLOAD, results={"b": "9" * 30}), "results"),
    ],
)
def test_a_bad_value_is_left_out(payload: Payload, missing: str) -> None:
    """Parameters or a result that cannot be read leave the rest of the job as it is."""
    assert shown(a_job(), payload) == without(shown(a_job()), missing)


def test_a_history_goes_on_behind_a_bad_event(caplog: pytest.LogCaptureFixture) -> None:
    """An event whose body cannot be shown is one without a kind, at its revision; its broadcast
    goes out too.
    """
    for body in ({}, {"from": "x", "to": 4}, {"from": 3, "to": 2**40}):
        event = Event("j", "t", "copy", 5, NOW, 1, Status.RUNNING, EventKind.STATUS_CHANGED, body)
        message = event_message.job_event(event)
        assert (message.revision, message.WhichOneof("kind")) == (5, None)
        assert client_event.event(message).kind == "UNKNOWN"
        assert FORMATS["json"][1](Broadcast(event, 4, 1))
    assert len(caplog.records) == 1


def test_a_broadcast_goes_out_without_a_bad_payload() -> None:
    """Parameters that cannot be read are not beside the event; the event is there."""
    event = Event("j", "t", "copy", 1, NOW, 0, Status.QUEUED, EventKind.CREATED, {})
    plain = Broadcast(event, 0, 1)
    for encode in (FORMATS["json"][1], FORMATS["protobuf"][1]):
        assert encode(replace(plain, payload='{"a":')) == encode(plain)


def test_progress_that_cannot_be_shown_is_no_update() -> None:
    """A watch leaves it out, and goes on."""
    assert answers.update(replace(PROGRESS, total=2**63)) is None
    assert answers.update(PROGRESS) is not None


def test_more_types_than_an_answer_holds() -> None:
    """Types of job beyond what one answer holds are listed without what is long of them, and what
    failed in short.
    """
    long = {"parameters_schema": "s" * 1000, "description": "d" * 1000}
    given = [answers.job_type(TypeInfo(f"it.{n}", "m", **long), 1) for n in range(3)]
    given.append(answers.job_type(TypeInfo("", "broken", load_error="e" * 1000), 0))
    shown = list(answers.fitted(given, 5000))
    assert [one.type for one in shown] == ["it.0", "it.1", "it.2", ""]
    assert [len(one.parameters_schema + one.description) for one in shown] == [2000, 2000, 0, 0]
    assert [one.instance_count for one in shown] == [1, 1, 1, 0]
    assert shown[3].load_error == "e" * 200
