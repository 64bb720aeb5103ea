"""A gRPC server that answers what a test has written down, and records what it was asked."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from headrace import Client
from headrace.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
)

Connect = Callable[..., Client]
"""What the fixture `connect` gives."""


@dataclass(frozen=True)
class Failure:
    """An answer other than a result: with a reason as Headrace gives it, without one as a transport
    does.
    """

    code: grpc.StatusCode
    reason: str = ""
    text: str = "scripted"
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    domain: str = "headrace"

    def abort(self, context: grpc.ServicerContext) -> None:
        """Ends the call."""
        if not self.reason and self.retry_after is None:
            context.abort(self.code, self.text)
        details = []
        if self.reason:
            details.append(
                error_details_pb2.ErrorInfo(reason=self.reason, domain=self.domain, metadata=self.metadata)
            )
        if self.fields:
            violations = [{"field": name, "description": text} for name, text in self.fields.items()]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        packed = [Packed() for _ in details]
        for into, detail in zip(packed, details, strict=True):
            into.Pack(detail)
        status = status_pb2.Status(code=self.code.value[0], message=self.text, details=packed)
        context.abort_with_status(rpc_status.to_status(status))


class Hang:
    """Says nothing more until the client leaves."""

    def until_gone(self, context: grpc.ServicerContext) -> None:
        """Waits for the end of the call, whoever ends it."""
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(30)


class ScriptedServer:
    """Each method takes its next step at each call; the last step stays.

    A step is a response, a Failure, a Hang, a list of those for a stream, or a function of
    (request, context) that gives one of those.
    """

    def __init__(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> None:
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.metadata: dict[str, str] = {}
        self.deadlines: dict[str, float] = {}
        self._steps: dict[str, list[Any]] = {}
        self._pool = ThreadPoolExecutor(16)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        jobs = job_service_pb2_grpc.JobServiceServicer()  # type: ignore[abstract] # set below
        admin = admin_service_pb2_grpc.AdminServiceServicer()  # type: ignore[abstract] # set below
        for module, servicer in ((job_service_pb2, jobs), (admin_service_pb2, admin)):
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    answer = self._stream if method.server_streaming else self._unary
                    setattr(servicer, method.name, self._bind(method.name, answer))
        job_service_pb2_grpc.add_JobServiceServicer_to_server(jobs, self._server)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._server)
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        self.target = f"127.0.0.1:{self.port}"
        self._server.start()

    def on(self, method: str, *steps: Any) -> None:
        """What a method does from now on."""
        self._steps[method] = list(steps)

    def close(self) -> None:
        """Cuts every connection and frees the port."""
        self._server.stop(0).wait()
        self._pool.shutdown()

    def _bind(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        return lambda request, context: answer(name, request, context)

    def _next(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests[name].append(request)
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.deadlines[name] = context.time_remaining()
        steps = self._steps[name]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        return step(request, context) if callable(step) else step

    def _unary(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        step = self._next(name, request, context)
        if isinstance(step, Failure):
            step.abort(context)
        if isinstance(step, Hang):
            step.until_gone(context)
        return step

    def _stream(self, name: str, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        response = job_service_pb2.RunJobResponse if name == "RunJob" else job_service_pb2.WatchJobResponse
        for step in self._next(name, request, context):
            if isinstance(step, Failure):
                step.abort(context)
            elif isinstance(step, Hang):
                step.until_gone(context)
            else:
                yield response(update=step)


def job(status: str = "RUNNING", revision: int = 3, **more: Any) -> job_pb2.JobInfo:
    """A job of id "j1"."""
    number = job_pb2.JobStatus.Value(f"JOB_STATUS_{status}")
    given = {"job_id": "j1", "tenant": "default", "spec": {"type": "demo"}, "status": number}
    return job_pb2.JobInfo(
        **{**given, "revision": revision, "final": status in {"SUCCEEDED", "FAILED", "ABORTED"}, **more}
    )


def snapshot(status: str = "RUNNING", revision: int = 3) -> job_pb2.JobUpdate:
    """What a watch begins with."""
    return job_pb2.JobUpdate(snapshot=job(status, revision))


def event(revision: int) -> job_pb2.JobUpdate:
    """An event of that revision."""
    return job_pb2.JobUpdate(event=job_pb2.JobEvent(job_id="j1", revision=revision, result_set={"name": "r"}))


def progress(done: int) -> job_pb2.JobUpdate:
    """Progress of so many ticks."""
    return job_pb2.JobUpdate(progress=job_pb2.JobProgress(done=done))


def heartbeat(revision: int) -> job_pb2.JobUpdate:
    """A sign of life."""
    return job_pb2.JobUpdate(heartbeat=job_pb2.Heartbeat(revision=revision))


def finished(status: str = "SUCCEEDED", revision: int = 9, **more: Any) -> job_pb2.JobUpdate:
    """The end of a watch."""
    return job_pb2.JobUpdate(finished=job(status, revision, **more))
