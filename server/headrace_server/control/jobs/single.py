"""The use cases of JobService: what each RPC means."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from headrace_server.control import job_log
from headrace_server.control.jobs import batch
from headrace_server.control.jobs.bulk import Bulk, stop_request, update_request
from headrace_server.control.jobs.pages import make_token, page_size, read_token
from headrace_server.control.validate.filters import raise_violations, understood
from headrace_server.control.validate.limits import Limits
from headrace_server.control.validate.specs import check_spec, check_text
from headrace_server.control.watch.follow import Watch, WatchOptions, ended, wait_final
from headrace_server.control.watch.hub import Hub, Subscription
from headrace_server.domain import batch as ids
from headrace_server.domain import requests
from headrace_server.domain.change import Change
from headrace_server.domain.errors import ControlError, Draining, JobNotFound
from headrace_server.domain.event import Event
from headrace_server.domain.hot import hot
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports.job_types import JobTypes, TypeInfo
from headrace_server.domain.ports.jobs import BatchSubmission, Cursor, JobStore, Page, Submission, Submitted
from headrace_server.domain.query import ALL_TENANTS, Counts, Filter, FullJob, Group, Order
from headrace_server.domain.requests import StopOutcome
from headrace_server.domain.spec import GivenSpec
from headrace_server.domain.updates import Update

REQUEST_ID_MAX = 100
CHUNK = 20
"""Jobs that are read with their payload at a time.

A page ends at 2 MiB, so a thousand full jobs are never in memory.
"""


@hot
@dataclass(frozen=True, slots=True)
class AskedSubmit:
    """A submit as a caller asks for it. digest is the canonical hash of the spec as sent."""

    tenant: str
    given: GivenSpec
    request_id: str
    digest: str
    hold: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """One job of a list, and its place in the query's order."""

    job: FullJob
    query: object
    place: Cursor

    @property
    def token(self) -> str:
        """Continues the list behind this job. A page needs that of its last one alone."""
        return make_token(self.query, self.place)


class Jobs:
    """The use cases of JobService.

    Every method may raise StoreUnavailable; those that begin something raise Draining at the end of
    the server.
    """

    def __init__(
        self, store: JobStore, hub: Hub, types: JobTypes, limits: Limits, new_id: Callable[[], str]
    ) -> None:
        self.limits = limits
        self.draining = False
        self._store = store
        self._hub = hub
        self._types = types
        self._new_id = new_id
        self.bulk = Bulk(store, hub, types, limits)

    async def submit(self, asked: AskedSubmit, *, wait: float = 0.0) -> Submitted:
        """Create a job. Raises what check_spec raises, RequestIdReused, Draining.

        wait: seconds to wait for its end before the answer. TooManyWatchers is raised only before
        anything was done. Once the job is on disk nothing is raised, for to ask again may be to
        make another.
        """
        submission = await self._checked(asked)
        if wait <= 0:
            return await self._submit(submission)
        wait = min(wait, self.limits.wait_seconds)
        with self._hub.subscribe(submission.job_id, parameters=submission.parameters) as subscription:
            submitted = await self._submit(submission)
            if not submitted.existing:
                return replace(submitted, job=await self._end_of(subscription, submitted.job, wait))
        return replace(submitted, job=await self._end_of_existing(submitted.job, wait))

    async def run(self, asked: AskedSubmit, options: WatchOptions) -> AsyncGenerator[Update]:
        """Create a job and follow it. Raises what submit raises, and TooManyWatchers before it."""
        submission = await self._checked(asked)
        with self._hub.subscribe(submission.job_id, parameters=submission.parameters) as subscription:
            submitted = await self._submit(submission)
            job = submitted.job.job
            watch = Watch(self._store, self._hub, job.tenant, job.job_id, options)
            if not submitted.existing:
                async with aclosing(watch.updates_from(subscription, submitted.job)) as updates:
                    async for update in updates:
                        yield update
                return
        async with aclosing(watch.updates()) as updates:
            async for update in updates:
                yield update

    async def _checked(self, asked: AskedSubmit) -> Submission:
        if self.draining:
            raise Draining
        raise_violations(check_text("request_id", asked.request_id, REQUEST_ID_MAX))
        spec, parameters = await check_spec(asked.given, self._types, self.limits)
        return Submission(
            self._new_id(), asked.tenant, spec, asked.hold, asked.request_id, asked.digest, parameters
        )

    async def _submit(self, submission: Submission) -> Submitted:
        answer = await self._store.submit(submission)
        job_log.submitted(answer, submission.request_id)
        return answer

    async def _end_of(self, subscription: Subscription, made: FullJob, seconds: float) -> FullJob:
        """Return a job that this call has made, ended or as it stands when the time is over."""
        with self._hub.waiting():
            await ended(subscription, self._hub, asyncio.get_running_loop().time() + seconds)
        job = made.job
        try:
            return await subscription.topic.end(
                lambda: self._store.get(job.job_id, tenant=job.tenant, payload=True)
            )
        except ControlError:
            return made

    async def _end_of_existing(self, found: FullJob, seconds: float) -> FullJob:
        try:
            return await wait_final(self._store, self._hub, found.job.tenant, found.job.job_id, seconds)
        except ControlError:
            return found

    async def submit_batch(
        self, tenant: str, sent: Sequence[batch.SentSpec], *, request_id: str, hold: bool
    ) -> batch.Batch:
        """Create many jobs, all of them or none.

        Raises what check_spec raises with the places of the jobs, RequestIdReused, QueueFull,
        Draining.
        """
        if self.draining:
            raise Draining
        raise_violations(check_text("request_id", request_id, REQUEST_ID_MAX))
        batch_id = ids.batch_id(self._new_id())
        jobs, digest = await batch.check(
            sent, self._types, self.limits, batch_id=batch_id, tenant=tenant, hold=hold
        )
        made = await self._store.submit_batch(BatchSubmission(batch_id, tenant, request_id, digest, jobs))
        job_log.batch_submitted(made.batch_id, len(jobs), request_id, existing=made.existing)
        return batch.Batch(made.batch_id, ids.job_ids(made.batch_id, len(jobs)), made.existing)

    async def release(self, tenant: str, job_id: str) -> FullJob:
        """Release a held job. Raises JobNotFound, WrongStatus."""
        return await self._changed(tenant, await self._store.apply(job_id, requests.release, tenant=tenant))

    async def get(self, tenant: str, job_id: str, *, payload: bool = True) -> FullJob:
        """One job. Raises JobNotFound."""
        return await self._store.get(job_id, tenant=tenant, payload=payload)

    async def find(
        self, tenant: str, which: Filter, order: Order, *, size: int, token: str, payload: bool
    ) -> AsyncGenerator[Listed]:
        """Yield the jobs from a token on, at most a page.

        It ends early when the caller stops. Raises InvalidPageToken.
        """
        query = (tenant, which, order)
        which = await understood(which, self._types)
        place = read_token(query, token, (int, str))
        left = self.page_size(size)
        while left > 0:
            limit = min(left, CHUNK) if payload else left
            jobs = await self._store.find(
                Page(None if tenant == ALL_TENANTS else tenant, which, order, limit, place, payload=payload)
            )
            for job in jobs:
                place = (sort_key(job.job, order), job.job.job_id)
                yield Listed(job, query, place)
            left = left - len(jobs) if len(jobs) == limit else 0

    async def count(self, tenant: str, which: Filter, groups: Sequence[Group]) -> Counts:
        """Counts of the jobs that match."""
        which = await understood(which, self._types)
        return await self._store.count(None if tenant == ALL_TENANTS else tenant, which, groups)

    def check_room(self) -> None:
        """Raise TooManyWatchers unless there is room for another watcher.

        This is called before a job is submitted to be watched.
        """
        self._hub.check_room()

    def watch(self, tenant: str, job_id: str, options: WatchOptions) -> AsyncGenerator[Update]:
        """Follow a job; see control.watch.follow. Raises TooManyWatchers."""
        return Watch(self._store, self._hub, tenant, job_id, options).updates()

    async def wait(self, tenant: str, job_id: str, seconds: float) -> FullJob:
        """Return the job when it has ended, or as it stands after `seconds`.

        Raises JobNotFound, Draining.
        """
        seconds = min(seconds, self.limits.wait_seconds)
        return await wait_final(self._store, self._hub, tenant, job_id, seconds)

    async def stop(
        self, tenant: str, job_id: str, *, reason: str, grace: int, wait: float, requested_by: str
    ) -> tuple[StopOutcome, FullJob]:
        """Ask for a stop; `grace` is in microseconds.

        Raises JobNotFound, InvalidArgument, and TooManyWatchers where it waits.
        """
        ask = stop_request(self.limits, grace=grace, reason=reason, requested_by=requested_by)
        if wait > 0:
            self._hub.check_room()  # now: once the stop is asked for, an error would hide that it is
        asked = await self._store.apply(job_id, ask, tenant=tenant)
        if asked.job.status.final:
            outcome = StopOutcome.STOPPED if asked.events else StopOutcome.ALREADY_FINISHED
            return outcome, await self._changed(tenant, asked)
        job = await self.wait(tenant, job_id, wait) if wait > 0 else await self._changed(tenant, asked)
        if job.job.status is Status.ABORTED:
            return StopOutcome.STOPPED, job
        return StopOutcome.FINISHED_FIRST if job.job.status.final else StopOutcome.STOPPING, job

    async def update(self, tenant: str, job_id: str, *, fields: Mapping[str, Any], etag: str) -> FullJob:
        """Change fields. Raises JobNotFound, EtagMismatch, WrongStatus, InvalidArgument."""
        change = update_request(self.limits, fields=fields, etag=etag)
        return await self._changed(tenant, await self._store.apply(job_id, change, tenant=tenant))

    async def _changed(self, tenant: str, change: Change) -> FullJob:
        """Return a job after its change.

        A job that was deleted meanwhile is returned as the change left it, without its payload.

        To say that there is no such job would deny what has been done.
        """
        try:
            return await self.get(tenant, change.job.job_id)
        except JobNotFound:
            return FullJob(change.job)

    async def delete(self, tenant: str, job_id: str) -> None:
        """Delete a job that has ended. Raises JobNotFound, WrongStatus, JobLocked."""
        await self._store.delete(job_id, tenant=tenant)

    async def events(
        self, tenant: str, job_id: str, *, after: int, size: int, token: str
    ) -> tuple[list[Event], Callable[[Event], str]]:
        """Return a page of a job's history, and a function that makes the token after an event.

        Raises JobNotFound, InvalidPageToken.
        """
        await self._store.get(job_id, tenant=tenant, payload=False)
        query = ("events", tenant, job_id, after)
        place = read_token(query, token, (int,))
        events = await self._store.events(
            job_id, after=place[0] if place else after, limit=self.page_size(size)
        )
        return [replace(event, tenant=tenant) for event in events], lambda event: make_token(
            query, (event.revision,)
        )

    def page_size(self, size: int) -> int:
        """How many a page holds when this many were asked for."""
        return page_size(size, self.limits.page_size)

    def types(self) -> Sequence[TypeInfo]:
        """Every type, then the modules that failed to load."""
        return self._types.infos()


def sort_key(job: Job, order: Order) -> int:
    """The value that an order sorts by."""
    match order:
        case Order.CREATE_TIME_DESC | Order.CREATE_TIME_ASC:
            return job.create_time
        case Order.STATUS_TIME_DESC | Order.STATUS_TIME_ASC:
            return job.status_time
        case Order.PRIORITY_DESC | Order.PRIORITY_ASC:
            return job.priority
