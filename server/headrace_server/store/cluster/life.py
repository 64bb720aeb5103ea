"""The life of this store among the instances that serve its database: it begins, beats and ends."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import Engine

from headrace_server.domain.errors import StoreUnavailable
from headrace_server.domain.lease import LeaseTimes
from headrace_server.domain.ports.cluster import Instance, LifeListener
from headrace_server.store.cluster import lives
from headrace_server.store.cluster.heartbeat import Heartbeat, stopwatch
from headrace_server.store.sql import Dialect
from headrace_server.store.write.writer import Writer


class Life:
    """One life after another; before the first `begin` there is none.

    numbers: those of the store's writers.
    """

    def __init__(
        self,
        writer: Writer,
        beats: Engine,
        *,
        database: Dialect,
        numbers: Sequence[int],
        clock: Callable[[], int],
    ) -> None:
        self.instance = ""
        """The id of the life that has begun."""
        self._writer = writer
        self._beats = beats
        self._database = database
        self._numbers = numbers
        self._clock = clock
        self._heartbeat: Heartbeat | None = None

    async def begin(self, me: Instance, lease: float | None, listener: LifeListener) -> None:
        """End the previous life and begin another. Raises StoreUnavailable."""
        await self._fall_silent()
        self._heartbeat = None
        loop = asyncio.get_running_loop()
        sent = stopwatch()
        await self._writer.put(lives.Join(me, self.instance, self._numbers, alone=lease is None))
        self.instance = me.instance
        if lease is not None:
            self._heartbeat = Heartbeat(
                self._beats,
                loop,
                me,
                LeaseTimes(lease),
                sent,
                database=self._database,
                clock=self._clock,
                about=listener.about,
                on_lost=listener.lost,
                on_dead=listener.others_died,
            )

    async def end(self) -> None:
        """Beat no more, and take the row away if that can be done."""
        await self._fall_silent()
        if self.instance:
            with suppress(StoreUnavailable):
                await self._writer.put(lives.Leave(self.instance))

    async def _fall_silent(self) -> None:
        if self._heartbeat is not None:
            await asyncio.to_thread(self._heartbeat.stop)

    @property
    def leased(self) -> bool:
        """Whether it has a lease: others may serve the database too."""
        return self._heartbeat is not None

    def valid(self) -> bool:
        """Whether this instance is alive, so that a run may be begun."""
        return self._heartbeat is None or self._heartbeat.valid()

    def fence(self) -> float | None:
        """The CLOCK_BOOTTIME at which nothing may be left of its runs; None without a lease.

        It may be read from any thread.
        """
        return None if self._heartbeat is None else self._heartbeat.fence()
