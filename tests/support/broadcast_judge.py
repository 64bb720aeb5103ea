"""What was broadcast, judged: the events of each job on AMQP are those that gRPC shows, in their
order.

    with Listener(url) as listener:              (support.listener) an independent consumer that keeps every message
        …                                        jobs are submitted and end, things break
        judge(listener.messages, histories)      raises Unlike with every difference that it found

    histories, watches                           what ListJobEvents and WatchJob say, over the generated stubs

Duplicates are dropped by ce-id, and must be alike but for that they came twice. What is left of a
job must be, one by one and in the order in which it came, the events of the broadcast kinds: none
lost, none before its turn, none that is not in the history, each naming the one before it as its
previous revision. Each message must also be what docs/events.md says of the envelope; that is
written here anew, and not asked of the product.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import grpc
from google.protobuf.json_format import Parse
from google.protobuf.text_format import MessageToString

from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

KINDS = frozenset({"created", "status_changed"})
"""What is broadcast when nothing else was asked for."""
PROBLEMS_SHOWN = 20
AT_ONCE = 8
"""Calls under way."""
JobEvent = job_pb2.JobEvent
Histories = Mapping[str, Sequence[JobEvent]]


class Unlike(AssertionError):
    """What came over AMQP is not what gRPC shows; the text says how, a line for each difference."""


@dataclass(frozen=True)
class Message:
    """One message as a consumer got it. Two are equal when they are copies of one."""

    routing_key: str
    properties: Mapping[str, Any]
    """Those of AMQP 0-9-1 that are set, but headers."""
    headers: Mapping[str, Any]
    body: bytes
    redelivered: bool = field(default=False, compare=False)

    @property
    def id(self) -> str:
        """Its ce-id."""
        return str(self.headers.get("ce-id"))

    @cached_property
    def event(self) -> JobEvent:
        """Its body."""
        if self.properties.get("content_type") == "application/protobuf":
            return JobEvent.FromString(self.body)
        return Parse(self.body, JobEvent())

    @property
    def previous(self) -> int:
        """Its ce-previousrevision."""
        return int(self.headers["ce-previousrevision"])


class Report(NamedTuple):
    """What was judged."""

    jobs: int
    messages: int
    duplicates: int

    def __str__(self) -> str:
        return f"{self.jobs} jobs, {self.messages} messages, {self.duplicates} of them duplicates; lost 0, out of order 0"


def judge(messages: Iterable[Message], expected: Histories, kinds: frozenset[str] = KINDS) -> Report:
    """Compare what came with the histories of all jobs. Raises Unlike."""
    came = list(messages)
    if found := list(problems(came, expected, kinds)):
        more = [f"… and {len(found) - PROBLEMS_SHOWN} more"] if len(found) > PROBLEMS_SHOWN else []
        raise Unlike("\n".join([*found[:PROBLEMS_SHOWN], *more]))
    return Report(len(expected), len(came), len(came) - len({message.id for message in came}))


def problems(
    messages: Iterable[Message], expected: Histories, kinds: frozenset[str] = KINDS
) -> Iterator[str]:
    """A sentence for each difference."""
    came: dict[str, list[Message]] = {}
    for message in messages:
        yield from (f"{message.id}: {sentence}" for sentence in envelope_problems(message))
        came.setdefault(message.event.job_id, []).append(message)
    for job_id in came.keys() - expected.keys():
        yield f"{job_id}: {len(came[job_id])} messages came of it, and no such job was looked for"
    for job_id, history in expected.items():
        wanted = [event for event in history if event.WhichOneof("kind") in kinds]
        yield from (f"{job_id}: {sentence}" for sentence in _job_problems(came.get(job_id, ()), wanted))


def _job_problems(messages: Sequence[Message], wanted: Sequence[JobEvent]) -> Iterator[str]:
    came: dict[int, Message] = {}
    last = 0
    for message in messages:
        revision = message.event.revision
        if revision in came:
            if message != came[revision]:
                yield f"revision {revision} came twice, and its copies differ"
            continue
        if revision < last:
            yield f"revision {revision} came for the first time after {last}"
        came[revision] = message
        last = max(last, revision)
    previous = 0
    for event in wanted:
        found = came.pop(event.revision, None)
        if found is None:
            yield f"revision {event.revision} ({event.WhichOneof('kind')}) was lost"
        else:
            if found.event != event:
                yield f"revision {event.revision} differs from the history: {_line(found.event)} where that has {_line(event)}"
            if found.previous != previous:
                yield f"revision {event.revision} says that {found.previous} comes before it, and {previous} does"
        previous = event.revision
    for revision in came:
        yield f"revision {revision} came, and is none of those that are to be broadcast"


def _line(event: JobEvent) -> str:
    return MessageToString(event, as_one_line=True)


def envelope_problems(message: Message) -> Iterator[str]:
    """What is wrong with the form of one message."""
    event = message.event
    status = job_pb2.JobStatus.Name(event.status).removeprefix("JOB_STATUS_")
    kind = f"headrace.job.{event.WhichOneof('kind')}.v1"
    identity = f"{event.job_id}/{event.revision}"
    time = event.event_time.ToDatetime().isoformat(timespec="microseconds") + "Z"
    headers = {
        "ce-specversion": "1.0", "ce-id": identity, "ce-type": kind, "ce-subject": event.job_id, "ce-time": time,
        "ce-tenant": event.tenant, "ce-jobtype": event.type, "ce-status": status, "ce-final": event.final,
        "ce-revision": event.revision,
    }  # fmt: skip
    properties = {
        "message_id": identity, "type": kind, "delivery_mode": 2, "app_id": "headrace",
        "timestamp": event.event_time.seconds,
    }  # fmt: skip
    for name, value in headers.items():
        if (found := message.headers.get(name)) != value or type(found) is not type(value):
            yield f"header {name} is {found!r}, where {value!r} was expected"
    for name, value in properties.items():
        if (found := message.properties.get(name)) != value:
            yield f"property {name} is {found!r}, where {value!r} was expected"
    if unknown := message.headers.keys() - headers.keys() - {"ce-source", "ce-previousrevision"}:
        yield f"headers that nobody expects: {sorted(unknown)}"
    if message.properties.get("content_type") not in ("application/json", "application/protobuf"):
        yield f"its content type is {message.properties.get('content_type')}"
    key = f"job.{status}.{_word(event.tenant)}.{_word(event.type)}"
    if message.routing_key != key:
        yield f"its routing key is {message.routing_key}, where {key} was expected"


def _word(text: str) -> str:
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode())


def histories(target: str, job_ids: Iterable[str], tenant: str = "") -> dict[str, list[JobEvent]]:
    """What ListJobEvents says of these jobs."""
    return _of_each(_history, target, job_ids, tenant)


def watches(target: str, job_ids: Iterable[str], tenant: str = "") -> dict[str, list[JobEvent]]:
    """What WatchJob shows of these jobs, which have ended, from their beginning."""
    return _of_each(_watch, target, job_ids, tenant)


def _of_each(ask: Any, target: str, job_ids: Iterable[str], tenant: str) -> dict[str, list[JobEvent]]:
    wanted = list(job_ids)
    with grpc.insecure_channel(target) as channel, ThreadPoolExecutor(AT_ONCE) as pool:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        return dict(zip(wanted, pool.map(partial(ask, stub, tenant), wanted), strict=True))


def _history(stub: Any, tenant: str, job_id: str) -> list[JobEvent]:
    found: list[JobEvent] = []
    request = job_service_pb2.ListJobEventsRequest(tenant=tenant, job_id=job_id, page_size=1000)
    while True:
        page = stub.ListJobEvents(request, timeout=60)
        found += page.events
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def _watch(stub: Any, tenant: str, job_id: str) -> list[JobEvent]:
    request = job_service_pb2.WatchJobRequest(tenant=tenant, job_id=job_id, after_revision=0)
    updates = [answer.update for answer in stub.WatchJob(request, timeout=60)]
    return [update.event for update in updates if update.WhichOneof("kind") == "event"]
