"""StopJobs, UpdateJobs and PurgeJobs: what is done with all jobs that match a filter.

    filter ─> page ─> stop, update or delete, in portions ─> rest ─> page ─> …  for some seconds ─> counts, and a token that goes on

The jobs are met oldest first, by pages that do not shift when some of them go. A portion is one
transaction, and as long as a page took nothing is asked for after it: other callers have half of
the store to themselves at least.

A job that runs is never deleted. A purge that may stop it asks for the stop, and deletes it when
its end was seen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from headrace_server.control.jobs.pages import make_token, read_token
from headrace_server.control.validate.filters import raise_violations, understood
from headrace_server.control.validate.limits import Limits
from headrace_server.control.validate.specs import check_labels, check_priority, check_text
from headrace_server.control.watch.follow import wait_final
from headrace_server.control.watch.hub import Hub
from headrace_server.domain import requests
from headrace_server.domain.errors import (
    FieldViolation,
    InvalidArgument,
    JobNotFound,
    TooManyWatchers,
    WrongStatus,
)
from headrace_server.domain.job import Job, Status
from headrace_server.domain.ports.job_types import JobTypes
from headrace_server.domain.ports.jobs import Decision, JobStore, Page
from headrace_server.domain.query import Filter, Order, Selection
from headrace_server.domain.retention import PORTION_JOBS, portion

REASON_MAX: Final = 1000
WORK_SECONDS: Final = 5.0
"""How long a call takes pages."""
LEAST_REST: Final = 0.01
UNENDED: Final = tuple(status for status in Status if not status.final)


@dataclass(slots=True)
class Stopped:
    """The counts of StopJobs, and the token that goes on."""

    stopped: int = 0
    stopping: int = 0
    token: str = ""


@dataclass(slots=True)
class Updated:
    """The count of UpdateJobs, and the token that goes on."""

    updated: int = 0
    token: str = ""


@dataclass(slots=True)
class Purged:
    """The counts of PurgeJobs, and the token that goes on."""

    purged: int = 0
    stopping: int = 0
    locked: int = 0
    unended: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class StopFirst:
    """The stop that a purge asks for first, of what has not ended.

    `wait`: seconds for it to end.
    """

    ask: Decision
    wait: float


class Bulk:
    """The use cases for all jobs that match a filter.

    Each raises InvalidArgument for an empty filter, InvalidPageToken, StoreUnavailable.
    """

    def __init__(self, store: JobStore, hub: Hub, types: JobTypes, limits: Limits) -> None:
        self._store = store
        self._hub = hub
        self._types = types
        self._limits = limits

    async def stop(self, which: Selection, ask: Decision, *, dry: bool) -> Stopped:
        """Ask each job that matches and has not ended to stop. dry: only count them."""
        done = Stopped()

        async def stop(page: Sequence[Job]) -> None:
            for job in await self._ask(page, ask, dry=dry):
                runs = job.status is Status.RUNNING
                done.stopping += runs
                done.stopped += not runs and (dry or job.status is Status.ABORTED)

        done.token = await self._walk("stop", which, stop, UNENDED)
        return done

    async def update(self, which: Selection, fields: Mapping[str, Any], *, dry: bool) -> Updated:
        """Set these fields to these values in each job that matches.

        `dry`: only count the jobs. Raises InvalidArgument.
        """
        change = update_request(self._limits, fields=fields)
        done = Updated()

        async def update(page: Sequence[Job]) -> None:
            done.updated += len(await self._ask(page, change, dry=dry))

        among = UNENDED if fields.keys() & set(requests.LIVE_FIELDS) else tuple(Status)
        done.token = await self._walk("update", which, update, among)
        return done

    async def purge(self, which: Selection, stop_first: StopFirst | None, *, dry: bool) -> Purged:
        """Delete each job that matches, has ended and is not locked. dry: only count them.

        Raises Draining and TooManyWatchers where it waits.
        """
        done = Purged()
        running: list[str] = []
        if stop_first is not None and stop_first.wait > 0:
            self._hub.check_room()  # now: once stops are asked for, an error would hide that they are

        async def purge(page: Sequence[Job]) -> None:
            done.locked += sum(job.locked for job in page)
            free = [job for job in page if not job.locked]
            unended = [job for job in free if not job.status.final]
            ended = [job for job in free if job.status.final]
            if stop_first is None:
                done.unended += len(unended)
            else:
                asked = await self._ask(unended, stop_first.ask, dry=dry)
                # What did not run when it was asked has ended with that.
                ended += [job for job in asked if job.status is not Status.RUNNING]
                running.extend(job.job_id for job in asked if job.status is Status.RUNNING)
            done.purged += len(ended) if dry else await self._delete(which.tenant, ended)

        done.token = await self._walk("purge", which, purge, tuple(Status))
        if stop_first is not None and not dry and stop_first.wait > 0:
            ended, running = await self._ends(which.tenant, running, stop_first.wait)
            done.purged += await self._delete(which.tenant, ended)
        done.stopping = len(running)
        return done

    async def _walk(
        self,
        verb: str,
        which: Selection,
        act: Callable[[Sequence[Job]], Awaitable[None]],
        among: Sequence[Status],
    ) -> str:
        """Do this with page after page of the jobs in such a status.

        Returns the token that goes on, "" at the end.
        """
        wanted_jobs = await understood(which.filter, self._types)
        if which.filter == Filter():
            raise InvalidArgument(
                FieldViolation("filter", "It is empty: say which jobs, if need be by all of their statuses.")
            )
        query = (verb, which.tenant, which.filter)
        place = read_token(query, which.token, (int, str))
        wanted = which.filter.statuses
        statuses = tuple(status for status in among if not wanted or status in wanted)
        if not statuses:
            return ""
        asked = replace(wanted_jobs, statuses=statuses if len(statuses) < len(Status) else ())
        loop = asyncio.get_running_loop()
        until = loop.time() + WORK_SECONDS
        while True:
            began = loop.time()
            page = Page(which.tenant, asked, Order.CREATE_TIME_ASC, PORTION_JOBS, place, payload=False)
            jobs = [full.job for full in await self._store.find(page)]
            await act(jobs)
            if len(jobs) < PORTION_JOBS:
                return ""
            place = (jobs[-1].create_time, jobs[-1].job_id)
            if loop.time() > until:
                return make_token(query, place)
            await asyncio.sleep(max(LEAST_REST, loop.time() - began))

    async def _ask(self, jobs: Sequence[Job], ask: Decision, *, dry: bool) -> list[Job]:
        """Ask this of the jobs, and return those that took it, as they then stand.

        `dry`: return all of them as they stand.
        """
        if dry:
            return list(jobs)
        asked = await asyncio.gather(
            *(self._store.apply(job.job_id, ask, tenant=job.tenant) for job in jobs), return_exceptions=True
        )
        taken = []
        for answer in asked:
            if not isinstance(answer, BaseException):
                taken.append(answer.job)
            elif not isinstance(
                answer, JobNotFound | WrongStatus
            ):  # deleted, or ended, since the page was read
                raise answer
        return taken

    async def _ends(self, tenant: str, job_ids: Sequence[str], seconds: float) -> tuple[list[Job], list[str]]:
        """The jobs that have ended when the time is over, and the ids of the others."""
        seconds = min(seconds, self._limits.wait_seconds)

        async def end(job_id: str) -> Job | None:
            try:
                return (await wait_final(self._store, self._hub, tenant, job_id, seconds)).job
            except (JobNotFound, TooManyWatchers):
                return None

        found = dict(zip(job_ids, await asyncio.gather(*map(end, job_ids)), strict=True))
        ended = [job for job in found.values() if job is not None and job.status.final]
        return ended, [job_id for job_id, job in found.items() if job is None or not job.status.final]

    async def _delete(self, tenant: str, ended: Sequence[Job]) -> int:
        """Delete these; how many were there and not locked meanwhile."""
        count = 0
        while part := portion(ended):
            count += await self._store.purge([job.job_id for job in part], tenant=tenant)
            ended = ended[len(part) :]
        return count


def stop_request(limits: Limits, *, grace: int, reason: str, requested_by: str) -> Decision:
    """A stop as a caller asks for it; grace in microseconds. Raises InvalidArgument."""
    raise_violations(check_text("reason", reason, REASON_MAX))
    raise_violations(check_text("requested_by", requested_by, limits.name_chars))
    if not 0 <= grace <= limits.grace_seconds * 1_000_000:
        raise InvalidArgument(FieldViolation("grace_period", f"It is 0 to {limits.grace_seconds} s."))
    return partial(requests.request_stop, grace=grace, reason=reason, requested_by=requested_by)


def update_request(limits: Limits, *, fields: Mapping[str, Any], etag: str = "") -> Decision:
    """New values of fields as a caller gives them. Raises InvalidArgument."""
    violations: list[FieldViolation] = []
    if "description" in fields:
        violations += check_text("patch.description", fields["description"], limits.description_chars)
    if "labels" in fields:
        violations += check_labels("patch.labels", fields["labels"])
    if "priority" in fields:
        violations += check_priority("patch.priority", fields["priority"])
    raise_violations(violations)
    return partial(requests.update, fields=fields, etag=etag)
