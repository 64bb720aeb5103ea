"""Wire the parts of an instance: what it is made of, and which part reports to which.

This is a part of the composition root. See app for the order.

dispatcher ── progress ──> hub, outbox relay        store ── commits ──> job log, hub, timers, dispatcher, relay
dispatcher ── stale rows ──> reconciler ──> hub, dispatcher        store ── its life ──> lives ──> dispatcher
"""

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import uuid_utils

from headrace_server import streams
from headrace_server.amqp.broker import Broker
from headrace_server.amqp.command_handler import CommandHandler
from headrace_server.amqp.commands import Commands
from headrace_server.amqp.envelope import Envelope
from headrace_server.codec.event_bodies import FORMATS, progress_body
from headrace_server.config import Settings
from headrace_server.control.background import Background
from headrace_server.control.cluster.members import Members
from headrace_server.control.cluster.membership import Membership
from headrace_server.control.cluster.reconciler import Reconciler
from headrace_server.control.gates import GateKeeper
from headrace_server.control.housekeeping import Housekeeping
from headrace_server.control.job_log import JobLog
from headrace_server.control.jobs.single import Jobs
from headrace_server.control.outbox.no_relay import NoRelay
from headrace_server.control.outbox.relay import OutboxRelay
from headrace_server.control.timers import Timers
from headrace_server.control.validate.limits import Limits
from headrace_server.control.watch.hub import Hub
from headrace_server.domain.job import Job, Progress
from headrace_server.domain.lease import LeaseTimes
from headrace_server.rpc.admin import AdminService, ServerInfo
from headrace_server.rpc.service import JobService
from headrace_server.store import SqlStore
from headrace_server.wiring import retention_of
from headrace_server.work.dispatch.active_run import RunSettings
from headrace_server.work.dispatch.dispatcher import Dispatcher
from headrace_server.work.linux.disk import DiskSpace
from headrace_server.work.loading import Loading
from headrace_server.work.pool.output import OutputLimits
from headrace_server.work.pool.pool import SILENCE, Pool

EVENTS_GRACE: Final = 2.0
"""Seconds at a stop for events that are not published yet.

Another instance publishes what is left, or the next start does.
"""

_ANY: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - to be replaced


def reached_at(address: str) -> str:
    """Return the address at which a process of this machine calls a server that listens.

    `address` is where the server listens.
    """
    host, _, port = address.rpartition(":")
    return f"{_ANY.get(host, host)}:{port}"


def start(one: Background, ends: AsyncExitStack) -> None:
    """Begin something in the background, to be left off with the instance."""
    one.start()
    ends.push_async_callback(one.close)


class Factories:
    """The factories of the parts; a test replaces one of them."""

    make_store = staticmethod(SqlStore.open)
    make_dispatcher = Dispatcher
    make_loading = Loading
    make_pool = Pool
    make_broker = Broker


class Parts:
    """The parts of one instance, wired. Nothing of it runs before `start`.

    draining: whether the instance takes nothing new.
    """

    def __init__(
        self,
        make: Factories,
        store: SqlStore,
        settings: Settings,
        limits: Limits,
        *,
        hub: Hub,
        loading: Loading,
        workspaces: Path,
        address: str,
        draining: Callable[[], bool],
    ) -> None:
        self.settings, self.limits = settings, limits
        self.store, self.hub, self.loading = store, hub, loading
        self._address, self._draining = address, draining
        self.disk = DiskSpace(
            workspaces, warn=settings.warn_free_disk_mib << 20, least=limits.min_free_disk_bytes
        )
        about = self._about()
        self.jobs = Jobs(store, hub, loading.registry, limits, lambda: str(uuid_utils.uuid7()))
        self.members = Members(store, store, about)
        self.relay = self._relay(make)
        self._reconciler = Reconciler(store)
        self.dispatcher = self._dispatcher(make)
        self._reconciler.followers += hub, self.dispatcher
        self._timers = Timers(store)
        # In this order: the log says what was committed before anything follows from it.
        store.listeners += JobLog(), hub, self._timers, self.dispatcher, self.relay
        self._membership = Membership(
            store,
            self.dispatcher,
            name=f"{socket.gethostname()}-{os.getpid()}",
            lease=settings.lease_time if settings.shared else None,
            about=about,
        )
        self.housekeeping = Housekeeping(store, retention_of(settings), settings.sweep_interval)

    def _dispatcher(self, make: Factories) -> Dispatcher:
        settings, registry = self.settings, self.loading.registry

        def progressed(job: Job, progress: Progress) -> None:
            self.hub.report(job.job_id, progress)
            self.relay.progressed(job, progress)

        return make.make_dispatcher(
            self.store,
            me=self.store,
            types=lambda: registry.names if self.disk.room() else registry.frugal,
            queues=frozenset(settings.queues),
            settings=RunSettings(settings.progress_interval, self.limits.messages_per_attempt),
            on_progress=progressed,
            on_stale=self._reconciler.look,
            workers=self.loading.workers,
        )

    def _relay(self, make: Factories) -> OutboxRelay | NoRelay:
        """Make the relay of the broadcasts, or NoRelay where nothing is broadcast."""
        settings = self.settings
        if not settings.amqp_url:
            return NoRelay()
        handler = CommandHandler(self.jobs)
        broker = make.make_broker(
            settings.brokers,
            settings.events_exchange,
            Envelope(settings.events_source, *FORMATS[settings.events_format], progress_body),
            name=f"headrace on {socket.gethostname()}",
            commands=Commands(settings.command_queue, handler.apply) if settings.command_queue else None,
        )
        return OutboxRelay(
            self.store,
            broker,
            progress_interval=settings.events_progress_interval,
            keep=settings.events_unroutable == "keep",
            payload_bytes=settings.broadcast_payload_bytes,
        )

    def pool(self, make: Factories, workspaces: Path, lock_fds: Sequence[int]) -> Pool:
        """The pool that the dispatcher sends runs to."""
        settings, dispatcher = self.settings, self.dispatcher
        pool = make.make_pool(
            listener=dispatcher,
            size=settings.workers,
            modules=settings.jobs,
            entry_points=settings.entry_points,
            workspace_root=workspaces,
            lock_fds=lock_fds,
            silence=LeaseTimes(settings.lease_time).silence if settings.shared else SILENCE,
            fence=dispatcher.fence,
            nice=settings.nice,
            target="" if settings.worker_only else reached_at(self._address),
            max_jobs_per_child=settings.max_jobs_per_worker,
            max_memory_bytes=settings.max_worker_memory_mib << 20,
            max_results=self.limits.results_bytes,
            fresh=settings.fresh_workers,
            output=OutputLimits(self.limits.output_bytes, self.limits.messages_per_attempt),
        )
        dispatcher.attach(pool)

        def loaded() -> None:
            pool.leave_out(self.loading.left_out)
            dispatcher.wake()

        self.loading.keep(loaded)
        return pool

    async def start(self, pool: Pool, ends: AsyncExitStack) -> None:
        """Begin, each part when what it stands on is there; ends gets what ends them."""
        await self._membership.begin()
        await pool.start()
        ends.push_async_callback(pool.close)
        ends.push_async_callback(self.housekeeping.close)
        ends.push_async_callback(self._membership.close)
        await self._membership.take_over()
        self.dispatcher.start()
        start(self._timers, ends)
        if self.settings.shared:
            start(self._reconciler, ends)
        if self.settings.sweeps:
            self.housekeeping.start()
        self.relay.start()
        ends.push_async_callback(self.relay.close, EVENTS_GRACE)

    def service(self) -> JobService | None:
        """Return the service for callers of jobs, or None on an instance that only works."""
        if self.settings.worker_only:
            return None
        return JobService(self.jobs, self.members, heartbeat=self.settings.heartbeat_interval)

    def admin(self, more: Callable[[], Mapping[str, int]]) -> AdminService:
        """Return the service for operators.

        `more`: counters of the edge.
        """

        async def counters() -> Mapping[str, int]:
            return {
                **self.dispatcher.counters(),
                "watchers": self.hub.feeds,
                "waiting_jobs": self.store.waiting,
                "free_disk_bytes": self.disk.free,
                "log_lines_dropped_total": streams.dropped_lines(),
                "swept_jobs_total": self.housekeeping.deleted,
                **(await self.relay.counters()),
                **more(),
            }

        return AdminService(
            ServerInfo(
                version=version("headrace"),
                start_time=time.time_ns() // 1000,
                settings=self.settings.shown(),
                limits={name: int(value) for name, value in asdict(self.limits).items()},
            ),
            self.jobs,
            self.members,
            GateKeeper(self.store, self.limits),
            instance=lambda: self.store.instance,
            counters=counters,
            draining=self._draining,
        )

    def _about(self) -> Callable[[], Mapping[str, Any]]:
        """Return a function that describes this instance.

        It is called with every beat, so what stays the same is found out once.
        """
        fixed = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version("headrace"),
            "workers": self.settings.workers,
            "queues": sorted(self.settings.queues),
            "address": self._address,
        }
        return lambda: {
            **fixed,
            "types": sorted(self.loading.registry.served),
            "draining": self._draining(),
        }
