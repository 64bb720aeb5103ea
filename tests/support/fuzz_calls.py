"""Sending what support.fuzz makes, many at a time, and judging each answer.

An answer is good when it came within LIMIT seconds and is OK or says what was wrong with the
request: a code that a caller can cause, with an ErrorInfo, and with the field or the message type
where the request was invalid.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from headrace.v1 import job_service_pb2
from support.fuzz import Request, Requests, new
from support.fuzz_messages import Known

LIMIT = 5.0
"""Seconds without an answer that are a hang."""
TICK = 0.05
IN_FLIGHT = 48
CHANNELS = 4
READ = 3
"""Messages read of a stream before it is cancelled: the first within LIMIT, the others when they
come at once.
"""
AT_ONCE = 0.3

Code = grpc.StatusCode
CALLERS = frozenset({
    Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.ABORTED,
    Code.OUT_OF_RANGE,
})  # fmt: skip
"""What a request of one's own can be answered with, besides OK."""
JOBS = "/headrace.v1.JobService"


@dataclass(frozen=True)
class Answer:
    """What became of a call: its messages, or an error."""

    code: Code
    messages: tuple[bytes, ...] = ()
    text: str = ""
    status: status_pb2.Status = field(default_factory=status_pb2.Status)

    @property
    def reason(self) -> str:
        """The reason of its ErrorInfo."""
        return next((info.reason for info in _details(self.status, error_details_pb2.ErrorInfo)), "")

    @property
    def fields(self) -> list[str]:
        """The fields that were bad."""
        return [
            violation.field
            for bad in _details(self.status, error_details_pb2.BadRequest)
            for violation in bad.field_violations
        ]


def _details(status: status_pb2.Status, kind: Any) -> Iterator[Any]:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            yield detail


@dataclass
class Outcome:
    """What a run has seen."""

    codes: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """How much of what was sent was accepted."""
        return sum(self.accepted.values()) / max(1, self.sent)


class Clock:
    """Seconds that this process had: those in which it was busy or kept waiting itself are nobody's
    hang.
    """

    def __init__(self) -> None:
        self.now = 0.0

    async def tick(self) -> None:
        """Go on, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(TICK)
            self.now += min(loop.time() - before, 2 * TICK)


class Fuzz:
    """One run against one server.

    It keeps the number of jobs small by deleting those it has forgotten.
    """

    def __init__(self, target: str, seed: int) -> None:
        self.known = Known()
        self.outcome = Outcome()
        self._seed = seed
        self._target = target
        self._requests = Requests(seed, self.known)
        self._made: list[tuple[str, str]] = []
        self._clock = Clock()

    async def run(self, indices: range) -> Outcome:
        """Send the inputs of these numbers."""
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        waiting = iter(indices)
        async with contextlib.AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(self._target, options=options))
                for _ in range(CHANNELS)
            ]
            ticking = asyncio.create_task(self._clock.tick())
            stack.callback(ticking.cancel)
            async with asyncio.TaskGroup() as group:
                for number in range(IN_FLIGHT):
                    group.create_task(self._work(channels[number % CHANNELS], waiting))
        return self.outcome

    async def _work(self, channel: grpc.aio.Channel, waiting: Iterator[int]) -> None:
        for index in waiting:
            request = self._requests.make(index)
            began = self._clock.now
            answer = await call(channel, request)
            took = self._clock.now - began
            self.outcome.sent += 1
            self.outcome.codes[answer.code.name] += 1
            if answer.code is Code.OK:
                self.outcome.accepted[request.method.name] += 1
                self._learn(request, answer)
            wrong = f"no answer within {took:.1f} s" if took > LIMIT else judge(request, answer)
            if wrong is not None:
                self.outcome.failures.append(f"{wrong}\n  seed {self._seed}, {request.shown()}")
            await self._forget(channel)

    def _learn(self, request: Request, answer: Answer) -> None:
        if not answer.messages:
            return
        response: Any = new(request.method.output_type)
        response.ParseFromString(answer.messages[0])
        names = response.DESCRIPTOR.fields_by_name
        if "update" in names and response.update.HasField("snapshot"):
            self._learn_job(response.update.snapshot, fresh=request.method.name == "RunJob")
        elif "job" in names:
            self._learn_job(response.job, fresh=request.method.name == "SubmitJob" and not response.existing)
        elif "next_page_token" in names and response.next_page_token:
            self.known.tokens.append(response.next_page_token)
            following: Any = request.message
            following.page_token = response.next_page_token
            self.known.pages.setdefault(request.path, type(self.known.tokens)(maxlen=20)).append(
                following.SerializeToString()
            )

    def _learn_job(self, job: Any, *, fresh: bool) -> None:
        self.known.etags.append(job.etag)
        if fresh:
            self.known.jobs.append((job.tenant, job.job_id))
            self._made.append((job.tenant, job.job_id))

    async def _forget(self, channel: grpc.aio.Channel) -> None:
        """Delete a job that no request will name any more."""
        if len(self._made) <= 2 * (self.known.jobs.maxlen or 0):
            return
        tenant, job_id = self._made.pop(0)
        for method, request in (
            ("StopJob", job_service_pb2.StopJobRequest(tenant=tenant, job_id=job_id, grace_period={})),
            ("UpdateJob", job_service_pb2.UpdateJobRequest(tenant=tenant, job_id=job_id, update_mask={"paths": ["locked"]})),
            ("DeleteJob", job_service_pb2.DeleteJobRequest(tenant=tenant, job_id=job_id)),
        ):  # fmt: skip
            with contextlib.suppress(grpc.aio.AioRpcError):  # it was deleted, or ends a little later
                await channel.unary_unary(f"{JOBS}/{method}")(request.SerializeToString(), timeout=LIMIT)


async def call(channel: grpc.aio.Channel, request: Request) -> Answer:
    """Send a request, as bytes, and read its answer or the beginning of its stream."""
    if request.method.server_streaming:
        made: Any = channel.unary_stream(request.path)(
            request.body, metadata=request.metadata, timeout=4 * LIMIT
        )
        reading = _read_some(made)
    else:
        limit = 2.0 if waits(request) else 4 * LIMIT
        made = channel.unary_unary(request.path)(request.body, metadata=request.metadata, timeout=limit)
        reading = _read_one(made)
    try:
        return Answer(Code.OK, await reading)
    except grpc.aio.AioRpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        status = status_pb2.Status()
        status.ParseFromString(trailing.get("grpc-status-details-bin", b""))  # type: ignore[arg-type] # bytes
        return Answer(error.code(), text=error.details() or "", status=status)


async def _read_one(made: Any) -> tuple[bytes, ...]:
    return (await made,)


async def _read_some(made: Any) -> tuple[bytes, ...]:
    messages: list[bytes] = []
    try:
        with contextlib.suppress(TimeoutError):
            while len(messages) < READ:
                async with asyncio.timeout(AT_ONCE if messages else None):
                    message = await made.read()
                if message is grpc.aio.EOF:
                    break
                messages.append(message)
    finally:
        made.cancel()
    return tuple(messages)


def waits(request: Request) -> bool:
    """Whether it asks for an answer that may come late."""
    message: Any = request.message
    if message is None or "wait_timeout" not in message.DESCRIPTOR.fields_by_name:
        return False
    return not message.HasField("wait_timeout") or message.wait_timeout.seconds > 0


def judge(request: Request, answer: Answer) -> str | None:
    """What is wrong with an answer; None when nothing is."""
    told = f"{answer.code.name} {answer.text[:500]!r}"
    if answer.code is Code.OK:
        return "it is too large, and was accepted" if request.style == "oversize" else None
    if _may_be(request, answer.code):
        return None
    if answer.code not in CALLERS:
        return told
    if not answer.reason or answer.status.code != answer.code.value[0]:
        return f"without the details that belong to it: {told}"
    return _judge_invalid(request, answer, told) if answer.code is Code.INVALID_ARGUMENT else None


def _may_be(request: Request, code: grpc.StatusCode) -> bool:
    """Whether this code belongs to this request, without details."""
    match code:
        case Code.RESOURCE_EXHAUSTED:  # gRPC takes 8 to 16 KiB of metadata
            return request.style == "oversize" or sum(len(value) for _, value in request.metadata) > 6000
        case Code.DEADLINE_EXCEEDED:
            return waits(request)
        case Code.NOT_FOUND:
            return request.path.startswith("/grpc.health.")
    return False


def _judge_invalid(request: Request, answer: Answer, told: str) -> str | None:
    if request.message is None:
        name = request.method.input_type.full_name
        return None if name in answer.text else f"{name} is not named: {told}"
    return None if answer.fields and all(answer.fields) else f"no field is named: {told}"
