"""The client: what it is made with, and the methods that name no single job."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Self, Unpack

import grpc

from headrace._flows.run import LEAVE_TIMEOUT, Listener, leaving_reason
from headrace._flows.wait import Wait
from headrace._flows.watch import Watch
from headrace._methods.aio.admin_methods import AsyncAdminMethods
from headrace._methods.aio.batch_methods import AsyncBatchMethods
from headrace._methods.aio.handle import AsyncJobHandle
from headrace._models.enums import CountGroup, JobOrder, JobView
from headrace._requests import requests
from headrace._requests.spec import seconds
from headrace._transport.access import Access
from headrace._transport.aio_calls import AsyncCalls
from headrace._transport.channel import (
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_RECONNECT_TIMEOUT,
    DEFAULT_TIMEOUT,
    Connection,
)
from headrace.errors import HeadraceError, raise_unless_succeeded
from headrace.info import Counts, Instance, JobEvent, JobInfo, JobType, Page, Progress, ServerInfo
from headrace.options import JobFilters, JobOptions, Span
from headrace.v1 import job_service_pb2


class AsyncClient(AsyncBatchMethods, AsyncAdminMethods):
    """Submits jobs to one Headrace server, and follows, stops and lists them. For one event loop.

    It connects when first used, and belongs to the loop that runs then. watch, list and events give
    asynchronous iterators. Cancelling a task that follows a job leaves the job alone.

    target: the address; else the environment's HEADRACE_TARGET, else 127.0.0.1:50551. Several
    servers of one database are ipv4:10.0.0.1:50551,10.0.0.2:50551, or dns:///name: calls take
    turns, and what one refuses another is asked.
    tenant: that of all calls that name none; empty means "default". Each verb takes another by its
    own `tenant`.
    credentials: for TLS, from grpc.ssl_channel_credentials(). None: without.
    timeout: for each call that does not wait for a job: 30 s.
    wait_for_ready: wait for a connection, within the timeout, where a call would fail for want of
    one.
    reconnect_timeout: how long a watch, run or wait goes on without a server that was there: 60 s;
    None: for ever.
    max_message_bytes: the largest request and answer: 4 MiB, which is the server's own limit.

    Calls that fail because the server is away, or say when to come back, are repeated within the
    timeout: a restart is outlived. That is safe for every verb. Where this client has never met a
    server they are given up after a good second, for the address may be wrong; wait_for_ready waits
    there too. What is raised in the end is a HeadraceError (headrace.errors draws the tree).
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        tenant: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        timeout: Span = DEFAULT_TIMEOUT,
        wait_for_ready: bool = False,
        reconnect_timeout: Span | None = DEFAULT_RECONNECT_TIMEOUT,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        connection = Connection.of(
            target,
            access=Access(credentials),
            timeout=timeout,
            wait_for_ready=wait_for_ready,
            reconnect_timeout=reconnect_timeout,
            max_message_bytes=max_message_bytes,
        )
        self._connect(connection, tenant)

    @classmethod
    def _over(cls, connection: Connection, *, tenant: str = "") -> Self:
        """Makes a client of a given connection.

        It may carry more than the arguments can say: the door for tokens and tracing.
        """
        client = cls.__new__(cls)
        client._connect(connection, tenant)  # noqa: SLF001 - one of its own
        return client

    def _connect(self, connection: Connection, tenant: str) -> None:
        super().__init__(AsyncCalls(connection), tenant)
        self.target = connection.target

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection.

        Calls and watches under way end with Cancelled. Closing twice is harmless.
        """
        await self._calls.close()

    async def submit(
        self,
        job_type: str,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        hold: bool = False,
        timeout: Span | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Submits a job. When this returns, the job is on disk.

        With hold it stays PENDING until release(). timeout is that of this call; the client's own
        when left out. headrace.options.JobOptions lists the options. Raises UnknownType for a type
        that the server does not know, InvalidParameter for parameters that do not fit it, and
        RequestIdReused for a request_id that was given to another job.
        """
        tenant = self._tenant(options.get("tenant"))
        call = requests.submit(tenant, job_type, parameters, options, hold=hold)
        submitted = await self._calls.make(call, None if timeout is None else seconds("timeout", timeout))
        return AsyncJobHandle(
            self,
            submitted.job.job_id,
            tenant=tenant,
            info=submitted.job,
            existing=submitted.existing,
        )

    async def run(
        self,
        job_type: str,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        on_submitted: Callable[[JobInfo], object] | None = None,
        on_event: Callable[[JobEvent], object] | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        include_messages: bool = False,
        min_progress_interval: Span | None = None,
        timeout: Span | None = None,
        raise_on_failure: bool = False,
        stop_on_exit: bool = False,
        **options: Unpack[JobOptions],
    ) -> JobInfo:
        """Submits a job, follows it to its end, and returns it as it ended, however it ended.

        The callbacks are called in this task: on_submitted once, when the job is on disk. Without
        any there is no stream: the submit itself waits for the end.
        include_messages and min_progress_interval are those of watch. The job survives this call:
        when timeout is over (DeadlineExceeded), when its task is cancelled or at any other
        exception it runs on, unless stop_on_exit: then it is stopped before the exception goes on.
        With raise_on_failure, JobFailed or JobAborted is raised for a job without success.
        """
        request = requests.run(
            self._tenant(options.get("tenant")),
            job_type,
            parameters,
            options,
            include_messages=include_messages,
            min_progress_interval=min_progress_interval,
        )
        listener = Listener(on_submitted, on_event, on_progress)
        flow = self._watch(request, timeout) if listener.listens else self._wait_for(request, timeout)
        try:
            job = await self._ended(flow, listener)
        except BaseException as error:
            if stop_on_exit and not flow.finished:
                await self._stop_behind(flow.job_id, request, leaving_reason(error))
            raise
        if raise_on_failure:
            raise_unless_succeeded(job)
        return job

    def handle(self, job_id: str, *, tenant: str | None = None) -> AsyncJobHandle:
        """A handle for a job by its id. Asks the server nothing."""
        return AsyncJobHandle(self, job_id, tenant=self._tenant(tenant))

    def list(
        self,
        *,
        tenant: str | None = None,
        order_by: JobOrder | str = JobOrder.CREATE_TIME_DESC,
        page_size: int = 0,
        view: JobView | str = JobView.BASIC,
        **filters: Unpack[JobFilters],
    ) -> AsyncIterator[JobInfo]:
        """Iterates over the jobs that match, fetching pages as they are needed.

        headrace.options.JobFilters lists the filters.

        tenant "-" means all tenants. page_size 0 means 100, and at most 1000.
        """
        tenant = self._tenant(tenant)
        return self._pages(
            lambda token: requests.list_page(
                tenant, filters, order_by=order_by, page_size=page_size, page_token=token, view=view
            )
        )

    async def list_page(
        self,
        *,
        tenant: str | None = None,
        order_by: JobOrder | str = JobOrder.CREATE_TIME_DESC,
        page_size: int = 0,
        page_token: str = "",
        view: JobView | str = JobView.BASIC,
        **filters: Unpack[JobFilters],
    ) -> Page[JobInfo]:
        """Returns one page of the list: the first, or the page of a token.

        A token belongs to its tenant, filters and order.
        """
        call = requests.list_page(
            self._tenant(tenant),
            filters,
            order_by=order_by,
            page_size=page_size,
            page_token=page_token,
            view=view,
        )
        return await self._calls.make(call)

    async def count(
        self,
        *,
        tenant: str | None = None,
        group_by: CountGroup | str | Iterable[CountGroup | str] = (),
        **filters: Unpack[JobFilters],
    ) -> Counts:
        """Counts the jobs that match, in groups.

        Tenant "-" means all tenants. The counts are exact up to 100,000, then at_least.
        """
        return await self._calls.make(requests.count(self._tenant(tenant), filters, group_by))

    async def types(self, *, tenant: str | None = None) -> tuple[JobType, ...]:
        """The types that can be submitted, by name, then the job modules that failed to load."""
        return await self._calls.make(requests.types(self._tenant(tenant)))

    async def server_info(self) -> ServerInfo:
        """Returns the server's version, settings, limits and counters, with secrets masked."""
        return await self._calls.make(requests.server_info(self._own_tenant))

    async def instances(self) -> tuple[Instance, ...]:
        """Returns the servers of the same database, oldest first.

        They are those that live and those that have died within a day.
        """
        return await self._calls.make(requests.instances(self._own_tenant))

    def _wait_for(self, request: job_service_pb2.RunJobRequest, timeout: Span | None) -> Wait:
        return Wait(
            request.tenant,
            submit=requests.submit_of(request),
            timeout=None if timeout is None else seconds("timeout", timeout),
            patience=self._calls.connection.reconnect_timeout,
        )

    async def _ended(self, flow: Watch | Wait, listener: Listener) -> JobInfo:
        """Follows a job that is to be submitted to its end."""
        if isinstance(flow, Wait):
            return await self._calls.wait(flow)
        async with aclosing(self._calls.follow(flow)) as updates:
            ended = [job async for update in updates if (job := listener.tell(update))]
        return ended[-1]

    async def _stop_behind(self, job_id: str, request: job_service_pb2.RunJobRequest, reason: str) -> None:
        """Stops the job of a run that the caller is leaving.

        A failure here must not hide the reason why the caller leaves.
        """
        with suppress(HeadraceError):
            # Where no answer has come yet, the same submit tells which job it was, if need be by
            # making it.
            if not job_id:
                submitted = await self._calls.make(requests.submit_again(request), LEAVE_TIMEOUT)
                job_id = submitted.job.job_id
            stop = requests.stop(
                request.tenant, job_id, reason=reason, grace_period=None, wait_timeout=None, requested_by=""
            )
            await self._calls.make(stop, LEAVE_TIMEOUT)
