"""The composition root: the only module that knows everyone. Start order, stop order.

Start: lock -> schema -> job types -> supervisor and children -> store, recovery -> dispatcher -> gRPC.
The lock comes first because it says that no child of an earlier life is left: only then may claims be recovered.
The supervisor starts before any gRPC object exists.

Stop (SIGTERM): refuse submits and say NOT_SERVING -> no claims, runs may end -> watches end with UNAVAILABLE ->
gRPC -> pool -> store -> lock. A second signal ends the wait for runs.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version

import uuid_utils

from headrace_server.config import Settings
from headrace_server.control import chronicle
from headrace_server.control.gates import GateKeeper
from headrace_server.control.hub import Hub
from headrace_server.control.jobs import Jobs
from headrace_server.control.limits import WAIT_SECONDS, Limits
from headrace_server.domain.change import Change
from headrace_server.domain.errors import ControlError
from headrace_server.domain.job import ErrorKind, JobError
from headrace_server.rpc.admin import AdminService, ServerInfo
from headrace_server.rpc.admission import Admission
from headrace_server.rpc.edge import Edge
from headrace_server.rpc.server import PortInUse, RpcServer
from headrace_server.rpc.service import JobService
from headrace_server.store import SqlStore, StoreLock, StoreRefused, migrate
from headrace_server.work.disk import DiskSpace
from headrace_server.work.dispatch import Dispatcher
from headrace_server.work.output import OutputLimits
from headrace_server.work.pool import Pool
from headrace_server.work.registry import Registry
from headrace_server.work.running import RunSettings

log = logging.getLogger(__name__)

REFUSALS = (StoreRefused, PortInUse, ControlError)
"""Why an instance cannot start; each text is a sentence for the operator."""
STREAMS_GRACE = 2.0
"""Seconds for calls that are under way when the server has drained."""


class App:
    """One life of an instance. A test replaces a part by giving another factory."""

    make_store = staticmethod(SqlStore.open)
    make_dispatcher = Dispatcher
    make_pool = Pool

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = limits_of(settings)
        self.instance = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.draining = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT; on_ready is told the address. Raises one of REFUSALS."""
        settings = self.settings
        lock = StoreLock.take(settings.database_url)
        try:
            migrate.upgrade(settings.database_url)
            registry = Registry.load(settings.jobs, entry_points=settings.entry_points)
            for info in registry.infos():
                if info.load_error:
                    log.error("job module %s failed to load: %s", info.module, info.load_error)
            self._handle_signals()
            await self._serve(registry, lock, on_ready)
        finally:
            lock.release()

    async def _serve(self, registry: Registry, lock: StoreLock, on_ready: Callable[[str], None]) -> None:
        settings = self.settings
        limits = self.limits
        hub = Hub(limits.watchers)
        store = self.make_store(
            settings.database_url, durable=settings.durable, max_waiting=limits.waiting_jobs
        )
        try:
            disk = DiskSpace(
                settings.workspace_root(),
                warn=settings.warn_free_disk_mib << 20,
                least=limits.min_free_disk_bytes,
            )
            frugal = registry.names - registry.needing_workspace
            dispatcher = self.make_dispatcher(
                store,
                instance=self.instance,
                types=lambda: registry.names if disk.room() else frugal,
                queues=frozenset(settings.queues),
                settings=RunSettings(settings.progress_interval, limits.messages_per_attempt),
                on_progress=hub.report,
            )

            def committed(changes: Sequence[Change]) -> None:
                chronicle.tell(changes)
                hub.publish(changes)
                dispatcher.committed(changes)

            store.on_commit = committed
            store.on_open = dispatcher.wake
            pool = self._pool(dispatcher, lock)
            dispatcher.attach(pool)
            await pool.start()
            try:
                lost = JobError(ErrorKind.INSTANCE_LOST, "The server ended while the job ran.")
                recovered = await store.recover(lost, confirmed=True)
                if recovered:
                    log.warning("%d jobs were under way when the server ended last time", recovered)
                dispatcher.start()
                jobs = Jobs(store, hub, registry, limits, lambda: str(uuid_utils.uuid7()))

                def gauges() -> Mapping[str, int]:
                    return {
                        **dispatcher.counters(),
                        "watchers": hub.feeds,
                        "waiting_jobs": store.waiting,
                        "free_disk_bytes": disk.free,
                    }

                keeper = GateKeeper(store, limits)
                await self._answer(
                    jobs=jobs, keeper=keeper, hub=hub, dispatcher=dispatcher, gauges=gauges, on_ready=on_ready
                )
                await dispatcher.close()
            finally:
                await pool.close()
        finally:
            await store.close()

    async def _answer(
        self,
        *,
        jobs: Jobs,
        keeper: GateKeeper,
        hub: Hub,
        dispatcher: Dispatcher,
        gauges: Callable[[], Mapping[str, int]],
        on_ready: Callable[[str], None],
    ) -> None:
        """Serve gRPC until a signal, then drain."""
        settings = self.settings
        edge = Edge(Admission(self.limits, lambda: hub.waits), self.limits.call_seconds)
        info = ServerInfo(
            version=version("headrace"),
            instance=self.instance,
            start_time=time.time_ns() // 1000,
            settings=settings.shown(),
            limits={name: int(value) for name, value in asdict(self.limits).items()},
        )

        rpc = RpcServer(
            JobService(jobs, heartbeat=settings.heartbeat_interval, running=settings.workers > 0),
            AdminService(
                info,
                keeper,
                counters=lambda: {**gauges(), **edge.counters()},
                draining=lambda: self.draining,
            ),
            edge,
            message_bytes=self.limits.message_bytes,
            with_reflection=settings.reflection,
        )
        host = settings.address.rpartition(":")[0]
        port = await rpc.start(settings.address)
        log.info("serving on %s:%d", host, port, extra={"instance": self.instance})
        on_ready(f"{host}:{port}")
        await self._stop.wait()
        self.draining = jobs.draining = True
        log.info("draining: running jobs may go on for %g s", settings.drain_time)
        rpc.drain()
        await dispatcher.drain(settings.drain_time, hurry=self._hurry)
        hub.close()
        await rpc.stop(STREAMS_GRACE)

    def _pool(self, dispatcher: Dispatcher, lock: StoreLock) -> Pool:
        settings = self.settings
        return self.make_pool(
            listener=dispatcher,
            size=settings.workers,
            modules=settings.jobs,
            entry_points=settings.entry_points,
            workspace_root=settings.workspace_root(),
            lock_fd=lock.fd,
            nice=settings.nice,
            max_jobs_per_child=settings.max_jobs_per_worker,
            max_memory_bytes=settings.max_worker_memory_mib << 20,
            max_results=self.limits.results_bytes,
            output=OutputLimits(self.limits.output_bytes, self.limits.messages_per_attempt),
        )

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()


def limits_of(settings: Settings) -> Limits:
    """The limits that these settings give."""
    return Limits(
        message_bytes=settings.max_message_kib << 10,
        parameters_bytes=settings.max_parameters_kib << 10,
        page_size=settings.max_page_size,
        call_seconds=settings.max_call_time,
        wait_seconds=min(WAIT_SECONDS, int(settings.max_call_time) - 1),
        results_bytes=settings.max_results_kib << 10,
        output_bytes=settings.max_output_kib << 10,
        messages_per_attempt=settings.max_messages_per_attempt,
        calls=settings.max_calls,
        call_bytes=settings.max_calls_mib << 20,
        watchers=settings.max_watchers,
        streams_per_connection=settings.max_streams_per_connection,
        waiting_jobs=settings.max_waiting_jobs,
        min_free_disk_bytes=settings.min_free_disk_mib << 20,
    )
