"""JobService: each method parses, calls one use case and answers."""

import hashlib
from contextlib import aclosing
from functools import partial

from headrace.v1 import job_service_pb2 as pb
from headrace.v1 import job_service_pb2_grpc
from headrace_server.codec import answers, event_message, job_message, requests
from headrace_server.codec.spec_fields import read_sent, read_spec
from headrace_server.codec.times import refuse
from headrace_server.control.cluster.members import Members
from headrace_server.control.jobs.bulk import stop_request
from headrace_server.control.jobs.single import AskedSubmit, Jobs, Listed
from headrace_server.control.watch.follow import WatchOptions
from headrace_server.domain.errors import JobNotFound
from headrace_server.rpc.handler import Context

PAGE_BYTES = 2 << 20
WAITING_BYTES = 64 << 10
"""A SubmitJob with a larger request does not wait: as long as it did, it would hold that memory."""


class JobService(job_service_pb2_grpc.JobServiceServicer):
    """The service; promises are in job_service.proto."""

    def __init__(self, jobs: Jobs, members: Members, *, heartbeat: float) -> None:
        """heartbeat: seconds between signs of life of an idle stream."""
        self._jobs = jobs
        self._members = members
        self._heartbeat = heartbeat

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        asked = _asked(request, context, hold=request.hold)
        wait = requests.seconds(request, "wait_timeout", 0.0)
        if wait and request.ByteSize() > WAITING_BYTES:
            wait = 0.0
        submitted = await self._jobs.submit(asked, wait=wait)
        return pb.SubmitJobResponse(job=job_message.job_info(submitted.job), existing=submitted.existing)

    async def BatchSubmitJobs(
        self, request: pb.BatchSubmitJobsRequest, context: Context
    ) -> pb.BatchSubmitJobsResponse:
        trace = requests.traceparent(context.invocation_metadata() or ())
        made = await self._jobs.submit_batch(
            requests.tenant(request.tenant),
            [partial(read_sent, spec, trace) for spec in request.jobs],
            request_id=request.request_id,
            hold=request.hold,
        )
        return pb.BatchSubmitJobsResponse(
            batch_id=made.batch_id, job_ids=made.job_ids, existing=made.existing
        )

    async def ReleaseJob(self, request: pb.ReleaseJobRequest, context: Context) -> pb.ReleaseJobResponse:
        job = await self._jobs.release(requests.tenant(request.tenant), requests.job_id(request.job_id))
        return pb.ReleaseJobResponse(job=job_message.job_info(job))

    async def RunJob(self, request: pb.RunJobRequest, context: Context) -> None:  # type: ignore[override] # writes
        options = self._watch_options(request, after=None)
        self._jobs.check_room()
        asked = _asked(request, context, hold=False)
        async with aclosing(self._jobs.run(asked, options)) as updates:
            async for item in updates:
                if (update := answers.update(item)) is not None:
                    await context.write(pb.RunJobResponse(update=update))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        job = await self._jobs.get(
            requests.tenant(request.tenant),
            requests.job_id(request.job_id),
            payload=requests.full_view(request.view, default=True),
        )
        return pb.GetJobResponse(job=job_message.job_info(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        size = requests.page_size(request.page_size)
        response = pb.ListJobsResponse()
        total = 0
        more = False
        last: Listed | None = None
        listed = self._jobs.find(
            requests.tenant(request.tenant, all_allowed=True),
            requests.job_filter(request.filter),
            requests.order(request.order_by),
            size=size,
            token=request.page_token,
            payload=requests.full_view(request.view, default=False),
        )
        async with aclosing(listed) as found:
            async for item in found:
                info = job_message.job_info(item.job)
                total += info.ByteSize()
                more = last is not None and total > PAGE_BYTES
                if more:
                    break
                response.jobs.append(info)
                last = item
        if last is not None and (more or len(response.jobs) == self._jobs.page_size(size)):
            response.next_page_token = last.token
        return response

    async def CountJobs(self, request: pb.CountJobsRequest, context: Context) -> pb.CountJobsResponse:
        groups = requests.groups(request.group_by)
        counts = await self._jobs.count(
            requests.tenant(request.tenant, all_allowed=True), requests.job_filter(request.filter), groups
        )
        return pb.CountJobsResponse(
            groups=answers.count_groups(counts, groups),
            total=counts.total,
            at_least=counts.at_least,
        )

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> None:  # type: ignore[override] # writes
        after = request.after_revision if request.HasField("after_revision") else None
        if after is not None and after < 0:
            raise refuse("after_revision", "It is not negative.")
        watch = self._jobs.watch(
            requests.tenant(request.tenant),
            requests.job_id(request.job_id),
            self._watch_options(request, after=after),
        )
        async with aclosing(watch) as updates:
            async for item in updates:
                if (update := answers.update(item)) is not None:
                    await context.write(pb.WatchJobResponse(update=update))

    def _watch_options(
        self, request: pb.WatchJobRequest | pb.RunJobRequest, *, after: int | None
    ) -> WatchOptions:
        return WatchOptions(
            after=after,
            include_messages=request.include_messages,
            min_progress_interval=requests.seconds(request, "min_progress_interval", 0.1),
            heartbeat=self._heartbeat,
        )

    async def WaitJob(self, request: pb.WaitJobRequest, context: Context) -> pb.WaitJobResponse:
        limit = float(self._jobs.limits.wait_seconds)
        job = await self._jobs.wait(
            requests.tenant(request.tenant),
            requests.job_id(request.job_id),
            requests.seconds(request, "wait_timeout", limit),
        )
        return pb.WaitJobResponse(job=job_message.job_info(job))

    async def StopJob(self, request: pb.StopJobRequest, context: Context) -> pb.StopJobResponse:
        return answers.stopped(*await self._jobs.stop(**requests.stop(request)))

    async def StopJobs(self, request: pb.StopJobsRequest, context: Context) -> pb.StopJobsResponse:
        done = await self._jobs.bulk.stop(
            requests.selection(request),
            stop_request(
                self._jobs.limits,
                grace=requests.grace(request),
                reason=request.reason,
                requested_by=request.requested_by,
            ),
            dry=request.validate_only,
        )
        return pb.StopJobsResponse(stopped=done.stopped, stopping=done.stopping, next_page_token=done.token)

    async def UpdateJob(self, request: pb.UpdateJobRequest, context: Context) -> pb.UpdateJobResponse:
        job = await self._jobs.update(
            requests.tenant(request.tenant),
            requests.job_id(request.job_id),
            fields=requests.patch(request),
            etag=request.etag,
        )
        return pb.UpdateJobResponse(job=job_message.job_info(job))

    async def UpdateJobs(self, request: pb.UpdateJobsRequest, context: Context) -> pb.UpdateJobsResponse:
        done = await self._jobs.bulk.update(
            requests.selection(request), requests.patch(request), dry=request.validate_only
        )
        return pb.UpdateJobsResponse(updated=done.updated, next_page_token=done.token)

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Context) -> pb.DeleteJobResponse:
        try:
            await self._jobs.delete(requests.tenant(request.tenant), requests.job_id(request.job_id))
        except JobNotFound:
            if not request.allow_missing:
                raise
        return pb.DeleteJobResponse()

    async def ListJobEvents(
        self, request: pb.ListJobEventsRequest, context: Context
    ) -> pb.ListJobEventsResponse:
        size = requests.page_size(request.page_size)
        if request.after_revision < 0:
            raise refuse("after_revision", "It is not negative.")
        events, token = await self._jobs.events(
            requests.tenant(request.tenant),
            requests.job_id(request.job_id),
            after=request.after_revision,
            size=size,
            token=request.page_token,
        )
        response = pb.ListJobEventsResponse()
        total = 0
        for event in events:
            message = event_message.job_event(event)
            total += message.ByteSize()
            if response.events and total > PAGE_BYTES:
                break
            response.events.append(message)
        if (response.events and len(response.events) < len(events)) or len(events) == self._jobs.page_size(
            size
        ):
            response.next_page_token = token(events[len(response.events) - 1])
        return response

    async def ListJobTypes(
        self, request: pb.ListJobTypesRequest, context: Context
    ) -> pb.ListJobTypesResponse:
        requests.tenant(request.tenant)
        serving = await self._members.serving()
        messages = (answers.job_type(info, serving.get(info.type, 0)) for info in self._jobs.types())
        return pb.ListJobTypesResponse(job_types=answers.fitted(messages, PAGE_BYTES))


def _asked(request: pb.SubmitJobRequest | pb.RunJobRequest, context: Context, *, hold: bool) -> AskedSubmit:
    sent = request.spec.SerializeToString(deterministic=True) + bytes([hold])
    return AskedSubmit(
        requests.tenant(request.tenant),
        read_spec(request.spec, requests.traceparent(context.invocation_metadata() or ())),
        request.request_id,
        hashlib.sha256(sent).hexdigest(),
        hold,
    )
