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
from collections.abc import Callable, Sequence
from importlib.metadata import version

import uuid_utils

from headrace_server.config import Settings
from headrace_server.control.hub import Hub
from headrace_server.control.jobs import Jobs
from headrace_server.control.spec import Limits
from headrace_server.domain.change import Change
from headrace_server.domain.errors import ControlError
from headrace_server.domain.job import ErrorKind, JobError
from headrace_server.rpc.admin import AdminService, ServerInfo
from headrace_server.rpc.server import PortInUse, RpcServer
from headrace_server.rpc.service import MESSAGE_BYTES, JobService
from headrace_server.store import SqlStore, StoreLock, StoreRefused, migrate
from headrace_server.work.dispatch import Dispatcher
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
        hub = Hub()
        store = self.make_store(settings.database_url, durable=settings.durable)
        try:
            dispatcher = self.make_dispatcher(
                store,
                instance=self.instance,
                types=registry.names,
                settings=RunSettings(settings.progress_interval, settings.messages_per_attempt),
                on_progress=hub.report,
            )

            def committed(changes: Sequence[Change]) -> None:
                hub.publish(changes)
                dispatcher.committed(changes)

            store.on_commit = committed
            pool = self._pool(dispatcher, lock)
            dispatcher.attach(pool)
            await pool.start()
            try:
                lost = JobError(ErrorKind.INSTANCE_LOST, "The server ended while the job ran.")
                recovered = await store.recover(lost, confirmed=True)
                if recovered:
                    log.warning("%d jobs were under way when the server ended last time", recovered)
                dispatcher.start()
                await self._answer(store, hub, registry, dispatcher, on_ready)
                await dispatcher.close()
            finally:
                await pool.close()
        finally:
            await store.close()

    async def _answer(
        self,
        store: SqlStore,
        hub: Hub,
        registry: Registry,
        dispatcher: Dispatcher,
        on_ready: Callable[[str], None],
    ) -> None:
        """Serve gRPC until a signal, then drain."""
        settings = self.settings
        limits = Limits()
        jobs = Jobs(store, hub, registry, limits, lambda: str(uuid_utils.uuid7()))
        info = ServerInfo(
            version=version("headrace"),
            instance=self.instance,
            start_time=time.time_ns() // 1000,
            settings=settings.shown(),
            limits={
                "message_bytes": MESSAGE_BYTES,
                "parameters_bytes": limits.parameters_bytes,
                "value_depth": limits.value_depth,
                "page_size": limits.page_size,
                "wait_seconds": limits.wait_seconds,
                "grace_seconds": limits.grace_seconds,
                "messages_per_attempt": settings.messages_per_attempt,
            },
        )
        rpc = RpcServer(
            JobService(jobs, heartbeat=settings.heartbeat_interval, running=settings.workers > 0),
            AdminService(
                info,
                counters=lambda: {**dispatcher.counters(), "watchers": hub.feeds},
                draining=lambda: self.draining,
            ),
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
            output_limit=settings.output_limit_kib << 10,
        )

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()
