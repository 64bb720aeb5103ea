"""Calls over one channel, on the running event loop: calls.py again, awaiting where that blocks."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import grpc
import grpc.aio

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


class AsyncCalls:
    """One channel to one server. close() ends what is under way with Cancelled."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._closed = asyncio.Event()
        self._streams: set[grpc.aio.UnaryStreamCall[Any, Any]] = set()
        self._known = False
        """Whether the server was ever seen by this client."""

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        # Made with the first call, for that is when the loop runs that it belongs to.
        return self.connection.open_async()

    @cached_property
    def _jobs(self) -> "job_service_pb2_grpc.JobServiceAsyncStub":  # a name for type checkers only
        return job_service_pb2_grpc.JobServiceStub(self._channel)

    @cached_property
    def _admin(self) -> "admin_service_pb2_grpc.AdminServiceAsyncStub":  # a name for type checkers only
        return admin_service_pb2_grpc.AdminServiceStub(self._channel)

    async def make(self, call: Call[T], timeout: float | None = None) -> T:  # noqa: ASYNC109 - bounds repetitions too
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
                return await self._once(call, deadline.remaining())
            except HeadraceError as error:
                await self._pause(attempts.failed(error, known=self._known))

    async def wait(self, wait: Wait) -> JobInfo:
        """Waits for the end of a job."""
        while True:
            call = wait.request()
            try:
                job = await self._once(call, wait.allowed(call, self.connection.timeout))
            except HeadraceError as error:
                await self._pause(wait.failed(error, known=self._known))
            else:
                if wait.answered(job):
                    return job

    async def follow(self, watch: Watch) -> AsyncGenerator[Update, None]:
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
            self._streams.add(stream)
            try:
                with self._closing():
                    async for response in stream:
                        self._known = True
                        update = watch.received(response.update)
                        if update is not None:
                            yield update
                        if watch.finished:
                            return
            except grpc.RpcError as error:
                failure = self._failure(error)
            finally:
                self._streams.discard(stream)
                stream.cancel()
            await self._pause(watch.failed(failure, known=self._known))

    async def _once(self, call: Call[T], timeout: float | None) -> T:  # noqa: ASYNC109 - one of gRPC
        """Makes a unary call once. Raises HeadraceError."""
        self._check_open()
        method = getattr(self._admin if call.service == "admin" else self._jobs, call.method)
        try:
            with self._closing():
                answer = await method(
                    call.request,
                    timeout=timeout,
                    metadata=self.connection.access.call_metadata(),
                    wait_for_ready=self.connection.wait_for_ready,
                )
        except grpc.RpcError as error:
            raise self._failure(error) from error
        self._known = True
        return call.read(answer)

    async def close(self) -> None:
        """Ends all calls and watches, and the channel. Closing twice is harmless."""
        self._closed.set()
        for stream in tuple(self._streams):
            stream.cancel()  # gRPC 1.76's own close leaves a stream that waits
        if "_channel" in self.__dict__:
            await self._channel.close()

    def _failure(self, error: grpc.RpcError) -> HeadraceError:
        self._check_open()  # a call that close() ended says so, whatever the transport made of it
        self._known = self._known or reached(error)
        return from_rpc_error(error, self.connection.target)

    async def _pause(self, delay: float) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), delay)
        except TimeoutError:
            return

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Cancelled("The client is closed.")

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Distinguishes a call that close() ended from a task that was cancelled.

        gRPC raises CancelledError for both.
        """
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._check_open()
            raise
