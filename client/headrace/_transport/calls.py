"""Calls over one channel, blocking. Thread-safe."""

import threading
from collections.abc import Generator
from typing import Any, TypeVar

import grpc

from headrace._flows.retry import Attempts, Deadline
from headrace._flows.wait import Wait
from headrace._flows.watch import Watch
from headrace._requests.requests import Call
from headrace._transport.channel import Connection
from headrace._transport.status import from_rpc_error, reached
from headrace.errors import Cancelled, HeadraceError
from headrace.info import JobInfo, Update
from headrace.v1 import admin_service_pb2_grpc, job_service_pb2, job_service_pb2_grpc

T = TypeVar("T")


class Calls:
    """One channel to one server. close() ends what is under way with Cancelled."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._channel = connection.open()
        self._jobs = job_service_pb2_grpc.JobServiceStub(self._channel)
        self._stubs = {"jobs": self._jobs, "admin": admin_service_pb2_grpc.AdminServiceStub(self._channel)}
        self._closed = threading.Event()
        self._known = False
        """Whether the server was ever seen by this client."""

    def make(self, call: Call[T], timeout: float | None = None) -> T:
        """Makes a unary call and returns its answer, repeating the call when that is allowed.

        It is repeated when the server says when, or is away for now.

        timeout: seconds to allow besides what the server was asked to wait; None: the connection's
        own.
        """
        allowed = self.connection.timeout if timeout is None else timeout
        deadline = Deadline(allowed + call.server_wait)
        attempts = Attempts(deadline)
        while True:
            try:
                return self._once(call, deadline.remaining())
            except HeadraceError as error:
                self._pause(attempts.failed(error, known=self._known))

    def wait(self, wait: Wait) -> JobInfo:
        """Waits for the end of a job."""
        while True:
            call = wait.request()
            try:
                job = self._once(call, wait.allowed(call, self.connection.timeout))
            except HeadraceError as error:
                self._pause(wait.failed(error, known=self._known))
            else:
                if wait.answered(job):
                    return job

    def follow(self, watch: Watch) -> Generator[Update, None, None]:
        """Yields what a watch has to say, opening streams as it needs them."""
        while True:
            self._check_open()
            request = watch.request()
            timeout, ready = watch.remaining(), self.connection.wait_for_ready
            metadata = self.connection.access.call_metadata()
            stream = (
                self._jobs.RunJob(request, timeout=timeout, metadata=metadata, wait_for_ready=ready)
                if isinstance(request, job_service_pb2.RunJobRequest)
                else self._jobs.WatchJob(request, timeout=timeout, metadata=metadata, wait_for_ready=ready)
            )
            failure = None
            try:
                for response in stream:
                    self._known = True
                    update = watch.received(response.update)
                    if update is not None:
                        yield update
                    if watch.finished:
                        return
            except grpc.RpcError as error:
                failure = self._failure(error)
            finally:
                _end(stream)
            self._pause(watch.failed(failure, known=self._known))

    def _once(self, call: Call[T], timeout: float | None) -> T:
        """Makes a unary call once. Raises HeadraceError."""
        self._check_open()
        method = getattr(self._stubs[call.service], call.method)
        try:
            answer = method(
                call.request,
                timeout=timeout,
                metadata=self.connection.access.call_metadata(),
                wait_for_ready=self.connection.wait_for_ready,
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        self._known = True
        return call.read(answer)

    def close(self) -> None:
        """Ends all calls and watches, and the channel. Closing twice is harmless."""
        self._closed.set()
        self._channel.close()

    def _failure(self, error: grpc.RpcError) -> HeadraceError:
        self._check_open()  # a call that close() ended says so, whatever the transport made of it
        self._known = self._known or reached(error)
        return from_rpc_error(error, self.connection.target)

    def _pause(self, delay: float) -> None:
        self._closed.wait(delay)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Cancelled("The client is closed.")


def _end(stream: Any) -> None:
    """End a stream. An interceptor, such as a tracer's, may have put a generator in its place."""
    if isinstance(stream, Generator):
        stream.close()
    else:
        stream.cancel()
