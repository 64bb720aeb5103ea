"""AdminService: what an operator asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.v1 import admin_service_pb2 as pb
from headrace.v1 import admin_service_pb2_grpc
from headrace_server.control.bulk import StopFirst, stop_request
from headrace_server.control.jobs import Jobs
from headrace_server.control.members import Members
from headrace_server.rpc import parse
from headrace_server.rpc.convert import timestamp
from headrace_server.rpc.edge import Context


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What stays the same while the server runs. Settings come without secrets."""

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
        *,
        instance: Callable[[], str],
        counters: Callable[[], Mapping[str, int]],
        draining: Callable[[], bool],
    ) -> None:
        """What is called is asked at each call."""
        self._info = info
        self._members = members
        self._instance = instance
        self._jobs = jobs
        self._counters = counters
        self._draining = draining

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        parse.tenant(request.tenant)
        info = self._info
        return pb.GetServerInfoResponse(
            version=info.version,
            instance=self._instance(),
            start_time=timestamp(info.start_time),
            settings=info.settings,
            limits=info.limits,
            counters=self._counters(),
            draining=self._draining(),
        )

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: Context
    ) -> pb.ListInstancesResponse:
        parse.tenant(request.tenant)
        return pb.ListInstancesResponse(
            instances=[
                pb.Instance(
                    instance=one.instance,
                    live=one.live,
                    start_time=timestamp(one.start_time),
                    running=one.held,
                    **one.about,
                )
                for one in await self._members.all()
            ]
        )

    async def PurgeJobs(self, request: pb.PurgeJobsRequest, context: Context) -> pb.PurgeJobsResponse:
        ask = stop_request(
            self._jobs.limits,
            grace=parse.grace(request),
            reason="purged",
            requested_by=request.requested_by,
        )
        wait = parse.seconds(request, "wait_timeout", 0)
        done = await self._jobs.bulk.purge(
            parse.selection(request),
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
