"""The composition root: the only module that knows everyone. Start order, stop order.

Start: lock -> gRPC, that refuses -> schema and, beside it, job types -> supervisor and children -> store, recovery ->
dispatcher -> events -> gRPC, that serves.
The lock comes first because it says that no child of an earlier life is left: only then may claims be recovered.
gRPC comes second because the database may be away for long: callers and balancers are told so. The supervisor is
a program of its own, so that its children are forked from a process without gRPC's threads.

Stop (SIGTERM): refuse submits and say NOT_SERVING -> no claims, runs may end -> watches end with UNAVAILABLE ->
gRPC -> events -> pool -> store -> lock. A second signal ends the wait for runs.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import uuid_utils

from headrace_server import stacks, streams
from headrace_server.config import Settings
from headrace_server.control.availability import Availability
from headrace_server.control.background import Background
from headrace_server.control.broadcasting import Broadcasting
from headrace_server.control.catch_up import CatchUp
from headrace_server.control.chronicle import JobLog
from headrace_server.control.gates import GateKeeper
from headrace_server.control.housekeeping import Housekeeping
from headrace_server.control.hub import Hub
from headrace_server.control.jobs import Jobs
from headrace_server.control.lives import Lives
from headrace_server.control.members import Members
from headrace_server.control.silence import Silence
from headrace_server.control.timers import Timers
from headrace_server.domain.errors import ControlError
from headrace_server.domain.job import Job, Progress
from headrace_server.domain.lease import LeaseTimes
from headrace_server.domain.ports import JobTypes
from headrace_server.events.address import BrokerRefused
from headrace_server.events.broker import Broker
from headrace_server.events.commands import Commands
from headrace_server.events.envelope import Envelope
from headrace_server.rpc.admin import AdminService, ServerInfo
from headrace_server.rpc.admission import Admission
from headrace_server.rpc.broadcasts import FORMATS, progress_body
from headrace_server.rpc.commands import CommandDesk
from headrace_server.rpc.cut import cut, give_back
from headrace_server.rpc.edge import Edge
from headrace_server.rpc.server import PortInUse, RpcServer
from headrace_server.rpc.service import JobService
from headrace_server.rpc.unread import Unread
from headrace_server.store import SqlStore, StoreLock, StoreRefused, StoreUnreachable, migrate
from headrace_server.wiring import limits_of, retention_of
from headrace_server.work.disk import DiskSpace
from headrace_server.work.dispatch import Dispatcher
from headrace_server.work.home import Home
from headrace_server.work.loading import Loading
from headrace_server.work.output import OutputLimits
from headrace_server.work.pool import SILENCE, Pool
from headrace_server.work.root import WorkspaceRefused
from headrace_server.work.running import RunSettings

log = logging.getLogger(__name__)

REFUSALS = (StoreRefused, PortInUse, ControlError, BrokerRefused, WorkspaceRefused)
"""Why an instance cannot start; each text is a sentence for the operator."""
STREAMS_GRACE = 2.0
"""Seconds for calls that are under way when the server has drained."""
EVENTS_GRACE = 2.0
"""Seconds for events that are not published yet, likewise; what is left is published by another, or at the next start."""


def _start(one: Background, ends: contextlib.AsyncExitStack) -> None:
    one.start()
    ends.push_async_callback(one.close)


_ANY: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104 - to be replaced


def reached_at(address: str) -> str:
    """Where a process of this machine calls a server that listens at an address."""
    host, _, port = address.rpartition(":")
    return f"{_ANY.get(host, host)}:{port}"


class App:
    """One life of an instance. A test replaces a part by giving another factory."""

    make_store = staticmethod(SqlStore.open)
    make_dispatcher = Dispatcher
    make_loading = Loading
    make_pool = Pool
    make_broker = Broker

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = limits_of(settings)
        self.draining = False
        self.types: tuple[str, ...] = ()
        """The types that were loaded at the start."""
        self._address = settings.address
        self._hub = Hub(self.limits.watchers)
        self._edge = Edge(
            Admission(self.limits, lambda: self._hub.waits),
            Unread(self.limits, cut=cut, give_back=give_back),
            self.limits.call_seconds,
        )
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT; on_ready is told the address. Raises one of REFUSALS."""
        settings = self.settings
        lock = StoreLock.take(settings.database_url)
        try:
            self._handle_signals()
            rpc = RpcServer(
                self._edge,
                message_bytes=self.limits.message_bytes,
                with_reflection=settings.reflection,
            )
            try:
                self._address = await rpc.start(settings.address)
                await self._live(rpc, lock, on_ready)
            finally:
                await rpc.stop(0)
        finally:
            lock.release()

    async def _live(self, rpc: RpcServer, lock: StoreLock, on_ready: Callable[[str], None]) -> None:
        settings = self.settings
        loading = self.make_loading(
            settings.jobs, entry_points=settings.entry_points, load_seconds=settings.load_time
        )
        first = asyncio.create_task(loading.first())
        try:
            if await self._reach_database() and await self._unless_stopped(first):
                await first
                await self._live_in(rpc, loading, lock, on_ready)
        finally:
            first.cancel()
            await loading.close()

    async def _unless_stopped(self, task: asyncio.Task[None]) -> bool:
        """Wait for a task; False when the server is to end before."""
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        return task.done()

    async def _live_in(
        self, rpc: RpcServer, loading: Loading, lock: StoreLock, on_ready: Callable[[str], None]
    ) -> None:
        """Serve, in a place for the workspaces."""
        settings = self.settings
        home = await asyncio.to_thread(Home.take, settings.workspace_root(), below=settings.workspace_below())
        try:
            await self._serve(rpc, loading, home.path, on_ready, lock=lock, lock_fds=(*lock.fds, home.fd))
        finally:
            await asyncio.to_thread(home.release)

    async def _reach_database(self) -> bool:
        """Bring the schema up to date, however long the database is away; False when the server is to end before.

        Raises StoreRefused when to try again is no use.
        """
        pause = 0.1
        while not self._stop.is_set():
            try:
                await asyncio.to_thread(migrate.upgrade, self.settings.database_url)
            except StoreUnreachable as error:
                log.warning("%s Trying again.", error)
            else:
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2.0, pause * 2)
        return False

    async def _serve(
        self,
        rpc: RpcServer,
        loading: Loading,
        workspaces: Path,
        on_ready: Callable[[str], None],
        *,
        lock: StoreLock,
        lock_fds: Sequence[int],
    ) -> None:
        settings, hub, registry = self.settings, self._hub, loading.registry
        async with contextlib.AsyncExitStack() as ends:
            store = self.make_store(
                settings.database_url,
                durable=settings.durable,
                max_waiting=self.limits.waiting_jobs,
                broadcast=settings.broadcast_kinds,
                payload_bytes=settings.broadcast_payload_bytes,
            )
            ends.push_async_callback(store.close)
            lock.verify()
            disk = DiskSpace(
                workspaces,
                warn=settings.warn_free_disk_mib << 20,
                least=self.limits.min_free_disk_bytes,
            )

            def stale(job_ids: Collection[str]) -> None:
                catch_up.look(job_ids)

            def progressed(job: Job, progress: Progress) -> None:
                hub.report(job.job_id, progress)
                events.progressed(job, progress)

            dispatcher = self.make_dispatcher(
                store,
                me=store,
                types=lambda: registry.names if disk.room() else registry.frugal,
                queues=frozenset(settings.queues),
                settings=RunSettings(settings.progress_interval, self.limits.messages_per_attempt),
                on_progress=progressed,
                on_stale=stale,
                workers=loading.workers,
            )
            catch_up = CatchUp(store, (hub, dispatcher))
            store.about = self._about(registry)
            jobs = Jobs(store, hub, registry, self.limits, lambda: str(uuid_utils.uuid7()))
            members = Members(store, store, store.about)
            events = self._events(store, jobs)
            timers = Timers(store)
            # In this order: the log says what was committed before anything follows from it.
            store.listeners[:] = JobLog(), hub, timers, dispatcher, events
            lives = Lives(
                store,
                dispatcher,
                name=f"{socket.gethostname()}-{os.getpid()}",
                lease=settings.lease_time if settings.shared else None,
                about=store.about,
            )
            store.on_lost = lives.lost
            store.on_dead = lives.others_died
            pool = self._pool(dispatcher, loading, workspaces, lock_fds)
            dispatcher.attach(pool)
            housekeeping = Housekeeping(store, retention_of(settings), settings.sweep_interval)
            await lives.begin()
            await pool.start()
            ends.push_async_callback(pool.close)
            ends.push_async_callback(housekeeping.close)
            ends.push_async_callback(lives.close)
            await lives.take_over()
            dispatcher.start()
            _start(timers, ends)
            if settings.shared:
                _start(catch_up, ends)
            if settings.sweeps:
                housekeeping.start()
            events.start()
            ends.push_async_callback(events.close, EVENTS_GRACE)
            availability = Availability(store.ping, rpc.available)
            _start(availability, ends)

            async def counters() -> Mapping[str, int]:
                return {
                    **dispatcher.counters(),
                    "database_available": int(availability.up),
                    "watchers": hub.feeds,
                    "waiting_jobs": store.waiting,
                    "free_disk_bytes": disk.free,
                    "log_lines_dropped_total": streams.dropped_lines(),
                    "swept_jobs_total": housekeeping.deleted,
                    **(await events.counters()),
                    **self._edge.counters(),
                }

            rpc.open(
                None
                if settings.worker_only
                else JobService(jobs, members, heartbeat=settings.heartbeat_interval),
                AdminService(
                    self._info(),
                    jobs,
                    members,
                    GateKeeper(store, self.limits),
                    instance=lambda: store.instance,
                    counters=counters,
                    draining=lambda: self.draining,
                ),
            )
            log.info("serving on %s", self._address, extra={"instance": store.instance})
            self.types = tuple(sorted(registry.names))
            on_ready(self._address)
            await self._stop.wait()
            await self._drain(rpc, jobs, dispatcher)
            await dispatcher.close()

    async def _drain(self, rpc: RpcServer, jobs: Jobs, dispatcher: Dispatcher) -> None:
        """Take nothing new, let running jobs end, and end the watches."""
        self.draining = jobs.draining = True
        log.info(
            "draining: running jobs may go on for %g s; a second Ctrl-C or SIGTERM stops them now",
            self.settings.drain_time,
        )
        rpc.drain()
        await dispatcher.drain(self.settings.drain_time, hurry=self._hurry)
        self._hub.close()
        await rpc.stop(STREAMS_GRACE)

    def _events(self, store: SqlStore, jobs: Jobs) -> Broadcasting | Silence:
        """What is broadcast, and by whom."""
        settings = self.settings
        if not settings.amqp_url:
            return Silence()
        envelope = Envelope(settings.events_source, *FORMATS[settings.events_format], progress_body)
        desk = CommandDesk(jobs)
        broker = self.make_broker(
            settings.brokers,
            settings.events_exchange,
            envelope,
            name=f"headrace on {socket.gethostname()}",
            commands=Commands(settings.command_queue, desk.carry_out) if settings.command_queue else None,
        )
        return Broadcasting(
            store,
            broker,
            progress_interval=settings.events_progress_interval,
            keep=settings.events_unroutable == "keep",
            payload_bytes=settings.broadcast_payload_bytes,
        )

    def _about(self, types: JobTypes) -> Callable[[], Mapping[str, Any]]:
        """What this instance tells of itself: asked with every beat, so what stays the same is found out once."""
        fixed = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version("headrace"),
            "workers": self.settings.workers,
            "queues": sorted(self.settings.queues),
        }
        return lambda: {
            **fixed,
            "types": sorted(types.served),
            "address": self._address,
            "draining": self.draining,
        }

    def _info(self) -> ServerInfo:
        return ServerInfo(
            version=version("headrace"),
            start_time=time.time_ns() // 1000,
            settings=self.settings.shown(),
            limits={name: int(value) for name, value in asdict(self.limits).items()},
        )

    def _pool(
        self, dispatcher: Dispatcher, loading: Loading, workspaces: Path, lock_fds: Sequence[int]
    ) -> Pool:
        settings = self.settings
        pool = self.make_pool(
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

        def loaded() -> None:
            pool.leave_out(loading.left_out)
            dispatcher.wake()

        loading.keep(loaded)
        return pool

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        stacks.tell_on_signal()

    def _signalled(self) -> None:
        if self._stop.is_set() and not self._hurry.is_set():
            log.info("a second signal: running jobs are stopped now")
            self._hurry.set()
        self._stop.set()
