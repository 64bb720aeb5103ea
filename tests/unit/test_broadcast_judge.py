"""The judge of broadcasts: each kind of difference is planted in what came, and found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from headrace.v1 import job_pb2
from support.broadcast_judge import JobEvent, Message, Unlike, judge

TIME = {"seconds": 1_790_000_000, "nanos": 123_456_000}
Plant = Callable[[list[Message]], Any]


def made(job_id: str, revision: int, status: str, **kind: Any) -> JobEvent:
    """An event of a job."""
    value = job_pb2.JobStatus.Value(f"JOB_STATUS_{status}")
    return JobEvent(
        job_id=job_id, tenant="züri", type="a.b", revision=revision, event_time=TIME, status=value,
        final=status == "SUCCEEDED", **kind,
    )  # fmt: skip


def history(job_id: str) -> list[JobEvent]:
    """That of a job that logged a message."""
    return [
        made(job_id, 1, "QUEUED", created={}),
        made(job_id, 2, "TO_BE_RUN", status_changed={}),
        made(job_id, 3, "RUNNING", status_changed={}),
        made(job_id, 4, "RUNNING", message_logged={"text": "half"}),
        made(job_id, 5, "SUCCEEDED", status_changed={}),
    ]


def message(event: JobEvent, previous: int) -> Message:
    """It as it is broadcast, by the letter of the contract."""
    status = job_pb2.JobStatus.Name(event.status).removeprefix("JOB_STATUS_")
    kind, identity = f"headrace.job.{event.WhichOneof('kind')}.v1", f"{event.job_id}/{event.revision}"
    return Message(
        f"job.{status}.z%C3%BCri.a%2Eb",
        {
            "message_id": identity, "type": kind, "delivery_mode": 2, "app_id": "headrace",
            "timestamp": 1_790_000_000, "content_type": "application/json",
        },
        {
            "ce-specversion": "1.0", "ce-id": identity, "ce-source": "/headrace", "ce-type": kind,
            "ce-subject": event.job_id, "ce-time": "2026-09-21T14:13:20.123456Z", "ce-tenant": "züri",
            "ce-jobtype": "a.b", "ce-status": status, "ce-final": event.final, "ce-revision": event.revision,
            "ce-previousrevision": previous,
        },
        MessageToJson(event).encode(),
    )  # fmt: skip


def came(job_id: str) -> list[Message]:
    """All that is broadcast of the job, in its order."""
    events = history(job_id)
    return [
        message(events[place], previous) for place, previous in zip((0, 1, 2, 4), (0, 1, 2, 3), strict=True)
    ]


def test_what_came_as_it_should_is_counted() -> None:
    """Copies that are alike are dropped, wherever they come; events of other kinds are not missed."""
    first, second = came("first"), came("second")
    mixed = [one for pair in zip(first, second, strict=True) for one in pair]
    report = judge(
        [*mixed, *first[1:], replace(second[0], redelivered=True)],
        {name: history(name) for name in ("first", "second")},
    )
    assert report == (2, 12, 4)


PLANTED: dict[str, tuple[Plant, str]] = {
    "lost": (lambda all_: all_.pop(1), r"job: revision 2 \(status_changed\) was lost"),
    "the last lost": (lambda all_: all_.pop(), r"job: revision 5 \(status_changed\) was lost"),
    "swapped": (lambda all_: all_.insert(1, all_.pop(2)), "job: revision 2 came for the first time after 3"),
    "foreign": (lambda all_: all_.append(came("other")[0]), "other: 1 messages came of it"),
    "of another kind": (
        lambda all_: all_.insert(3, message(history("job")[3], 3)),
        "job: revision 4 came, and is none of those that are to be broadcast",
    ),
    "another copy": (
        lambda all_: all_.append(replace(all_[0], headers=all_[0].headers | {"ce-previousrevision": 9})),
        "job: revision 1 came twice, and its copies differ",
    ),
    "another body": (
        lambda all_: all_.append(message(made("job", 5, "FAILED", status_changed={}), 3)) or all_.pop(-2),
        "job: revision 5 differs from the history",
    ),
    "another chain": (
        lambda all_: all_.append(message(history("job")[4], 4)) or all_.pop(-2),
        "job: revision 5 says that 4 comes before it, and 3 does",
    ),
    "another key": (
        lambda all_: all_.append(replace(all_.pop(), routing_key="job.SUCCEEDED.züri.a.b")),
        r"job/5: its routing key is job.SUCCEEDED.züri.a.b, where job.SUCCEEDED.z%C3%BCri.a%2Eb was expected",
    ),
    "another header": (
        lambda all_: all_.append(replace(all_[-1], headers=all_.pop().headers | {"ce-final": 1})),
        "job/5: header ce-final is 1, where True was expected",
    ),
    "a transient one": (
        lambda all_: all_.append(replace(all_[-1], properties=all_.pop().properties | {"delivery_mode": 1})),
        "job/5: property delivery_mode is 1, where 2 was expected",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str) -> None:
    """One thing is wrong with what came: the judge says which, and nothing else."""
    plant, sentence = PLANTED[name]
    messages = came("job")
    plant(messages)
    with pytest.raises(Unlike, match=sentence) as caught:
        judge(messages, {"job": history("job")})
    assert len(str(caught.value).split("\n")) == 1


def test_all_lost_is_found() -> None:
    """Of a job of which nothing came each event is named as lost, up to so many."""
    with pytest.raises(Unlike) as caught:
        judge([], {f"job {number}": history("job") for number in range(8)})
    lines = str(caught.value).split("\n")
    assert len(lines) == 21
    assert lines[-1] == "… and 12 more"
