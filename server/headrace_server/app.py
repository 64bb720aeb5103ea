"""The composition root: with `parts`, the only module that knows everyone. Start order, stop order.

Start: lock -> gRPC, that refuses -> schema and, beside it, job types -> supervisor and children ->
store, recovery -> dispatcher -> events -> gRPC, that serves. The lock comes first because it says
that no child of an earlier life is left: only then may claims be recovered. gRPC comes second
because the database may be away for long: callers and balancers are told so. The supervisor is a
program of its own, so that its children are forked from a process without gRPC's threads.

Stop (SIGTERM): refuse submits and say NOT_SERVING -> no claims, runs may end -> watches end with
UNAVAILABLE -> gRPC -> events -> pool -> store -> lock. A second signal ends the wait for runs.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from headrace_server import stacks
from headrace_server.amqp.url import BrokerRefused
from headrace_server.config import Settings
from headrace_server.control.availability import Availability
from headrace_server.control.watch.hub import Hub
from headrace_server.domain.errors import ControlError
from headrace_server.parts import Factories, Parts, start
from headrace_server.rpc.disconnect import cut, give_back
from headrace_server.rpc.server import PortInUse, RpcServer
from headrace_server.rpc.wrappers import Wrappers
from headrace_server.store import SqlStore, StoreLock, StoreRefused, StoreUnreachable
from headrace_server.store.opening import migrate
from headrace_server.wiring import limits_of
from headrace_server.work.linux.instance_directory import InstanceDirectory
from headrace_server.work.linux.workspace_root import WorkspaceRefused
from headrace_server.work.loading import Loading

log = logging.getLogger(__name__)

REFUSALS = (StoreRefused, PortInUse, ControlError, BrokerRefused, WorkspaceRefused)
"""Why an instance cannot start; each text is a sentence for the operator."""
STREAMS_GRACE = 2.0
"""Seconds for calls that are under way when the server has drained."""


class App(Factories):
    """One life of an instance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = limits_of(settings)
        self.draining = False
        self.types: tuple[str, ...] = ()
        """The types that were loaded at the start."""
        self._address = settings.address
        self._hub = Hub(self.limits.watchers)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT; on_ready is told the address. Raises one of REFUSALS."""
        settings = self.settings
        lock = StoreLock.take(settings.database_url)
        try:
            self._handle_signals()
            rpc = RpcServer(
                Wrappers(self.limits, waiting=lambda: self._hub.waits, cut=cut, give_back=give_back),
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
        home = await asyncio.to_thread(
            InstanceDirectory.take, settings.workspace_root(), below=settings.workspace_below()
        )
        try:
            await self._serve(rpc, loading, home.path, on_ready, lock=lock, lock_fds=(*lock.fds, home.fd))
        finally:
            await asyncio.to_thread(home.release)

    async def _reach_database(self) -> bool:
        """Bring the schema up to date, however long the database is away.

        Return False when the server is to end before that.

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
        async with contextlib.AsyncExitStack() as ends:
            store = self._open_store(ends)
            lock.verify()
            parts = Parts(
                self,
                store,
                self.settings,
                self.limits,
                hub=self._hub,
                loading=loading,
                workspaces=workspaces,
                address=self._address,
                draining=lambda: self.draining,
            )
            await parts.start(parts.pool(self, workspaces, lock_fds), ends)
            availability = Availability(store.ping, rpc.available)
            start(availability, ends)
            rpc.open(
                parts.service(),
                parts.admin(lambda: {"database_available": int(availability.up), **rpc.counters()}),
            )
            log.info("serving on %s", self._address, extra={"instance": store.instance})
            self.types = tuple(sorted(loading.registry.names))
            on_ready(self._address)
            await self._stop.wait()
            await self._drain(rpc, parts)
            await parts.dispatcher.close()

    def _open_store(self, ends: contextlib.AsyncExitStack) -> SqlStore:
        settings = self.settings
        store = self.make_store(
            settings.database_url,
            durable=settings.durable,
            max_waiting=self.limits.waiting_jobs,
            broadcast=settings.broadcast_kinds,
            payload_bytes=settings.broadcast_payload_bytes,
        )
        ends.push_async_callback(store.close)
        return store

    async def _drain(self, rpc: RpcServer, parts: Parts) -> None:
        """Take nothing new, let running jobs end, and end the watches."""
        self.draining = parts.jobs.draining = True
        log.info(
            "draining: running jobs may go on for %g s; a second Ctrl-C or SIGTERM stops them now",
            self.settings.drain_time,
        )
        rpc.drain()
        await parts.dispatcher.drain(self.settings.drain_time, hurry=self._hurry)
        self._hub.close()
        await rpc.stop(STREAMS_GRACE)

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
