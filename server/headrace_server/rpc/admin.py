"""AdminService: what an operator asks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from headrace.v1 import admin_service_pb2 as pb
from headrace.v1 import admin_service_pb2_grpc
from headrace_server.codec import requests
from headrace_server.codec.admin_answers import gate, instance, traffic
from headrace_server.codec.times import timestamp
from headrace_server.control.cluster.members import Members
from headrace_server.control.gates import GateKeeper
from headrace_server.control.jobs.bulk import StopFirst, stop_request
from headrace_server.control.jobs.single import Jobs
from headrace_server.domain.gate import Gate, Scope
from headrace_server.rpc.handler import Context


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The facts that stay the same while the server runs.

    Settings come without secrets.
    """

    version: str
    start_time: int
    settings: Mapping[str, str]
    limits: Mapping[str, int]


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """The service; promises are in admin_service.proto."""

    def __init__(
        self,
        info: ServerInfo,
        jobs: Jobs,
        members: Members,
        keeper: GateKeeper,
        *,
        instance: Callable[[], str],
        counters: Callable[[], Awaitable[Mapping[str, int]]],
        draining: Callable[[], bool],
    ) -> None:
        """Take the use cases, and functions that are called anew at each request."""
        self._info = info
        self._members = members
        self._instance = instance
        self._jobs = jobs
        self._keeper = keeper
        self._counters = counters
        self._draining = draining

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        requests.tenant(request.tenant)
        info = self._info
        return pb.GetServerInfoResponse(
            version=info.version,
            instance=self._instance(),
            start_time=timestamp(info.start_time),
            settings=info.settings,
            limits=info.limits,
            counters=await self._counters(),
            draining=self._draining(),
        )

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: Context
    ) -> pb.ListInstancesResponse:
        requests.tenant(request.tenant)
        return pb.ListInstancesResponse(instances=[instance(one) for one in await self._members.all()])

    async def PurgeJobs(self, request: pb.PurgeJobsRequest, context: Context) -> pb.PurgeJobsResponse:
        ask = stop_request(
            self._jobs.limits,
            grace=requests.grace(request),
            reason="purged",
            requested_by=request.requested_by,
        )
        wait = requests.seconds(request, "wait_timeout", 0)
        done = await self._jobs.bulk.purge(
            requests.selection(request),
            StopFirst(ask, wait) if request.stop_first else None,
            dry=request.validate_only,
        )
        return pb.PurgeJobsResponse(
            purged=done.purged,
            stopping=done.stopping,
            locked=done.locked,
            unended=done.unended,
            next_page_token=done.token,
        )

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Context) -> pb.ListQueuesResponse:
        requests.tenant(request.tenant)
        found, token = await self._keeper.traffic(
            Scope.QUEUE, size=requests.page_size(request.page_size), token=request.page_token
        )
        return pb.ListQueuesResponse(queues=map(traffic, found), next_page_token=token)

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        requests.tenant(request.tenant)
        found, token = await self._keeper.traffic(
            Scope.TENANT, size=requests.page_size(request.page_size), token=request.page_token
        )
        return pb.ListTenantsResponse(tenants=map(traffic, found), next_page_token=token)

    async def ListGates(self, request: pb.ListGatesRequest, context: Context) -> pb.ListGatesResponse:
        requests.tenant(request.tenant)
        found, token = await self._keeper.find(
            size=requests.page_size(request.page_size), token=request.page_token
        )
        return pb.ListGatesResponse(gates=map(gate, found), next_page_token=token)

    async def UpdateGate(self, request: pb.UpdateGateRequest, context: Context) -> pb.UpdateGateResponse:
        requests.tenant(request.tenant)
        changed = await self._keeper.change(requests.gate(request.gate), requests.gate_patch(request))
        return pb.UpdateGateResponse(gate=gate(changed))

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Context) -> pb.PauseQueueResponse:
        requests.tenant(request.tenant)
        return pb.PauseQueueResponse(gate=await self._pause(Scope.QUEUE, request.queue, paused=True))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Context) -> pb.ResumeQueueResponse:
        requests.tenant(request.tenant)
        return pb.ResumeQueueResponse(gate=await self._pause(Scope.QUEUE, request.queue, paused=False))

    async def PauseTenant(self, request: pb.PauseTenantRequest, context: Context) -> pb.PauseTenantResponse:
        tenant = requests.tenant(request.tenant)
        return pb.PauseTenantResponse(gate=await self._pause(Scope.TENANT, tenant, paused=True))

    async def ResumeTenant(
        self, request: pb.ResumeTenantRequest, context: Context
    ) -> pb.ResumeTenantResponse:
        tenant = requests.tenant(request.tenant)
        return pb.ResumeTenantResponse(gate=await self._pause(Scope.TENANT, tenant, paused=False))

    async def _pause(self, scope: Scope, name: str, *, paused: bool) -> pb.Gate:
        return gate(await self._keeper.change(Gate(scope, name or "default"), {"paused": paused}))
