"""The heartbeat, on a thread and a connection of its own.

So nothing that this instance does can keep it from beating.

domain.lease says what the beats mean. On a database that only one store can write to there is no
lease: who has the file's lock lives.
"""

import logging
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Engine

from headrace_server.domain.lease import LeaseTimes, Observer, OwnLease
from headrace_server.domain.outage import Outage
from headrace_server.domain.ports.cluster import Instance
from headrace_server.store.cluster import instances
from headrace_server.store.sql import Dialect
from headrace_server.store.sql.transaction import transaction

logger = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 5.0
"""The seconds between two looks for what dead instances have left.

They come in addition to the looks that follow a death, because a late claim must not stay.
"""


def stopwatch() -> float:
    """Seconds that pass in sleep too: a machine that was suspended has not held its lease."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Heartbeat:
    """The lease of one life. Callbacks come on the event loop's thread.

    on_lost: this instance is not alive any more, once. on_dead: others have died, or it is time to
    look again for what the dead have left. about: what is told of this instance with each beat.
    """

    def __init__(
        self,
        engine: Engine,
        loop: AbstractEventLoop,
        me: Instance,
        times: LeaseTimes,
        sent: float,
        *,
        database: Dialect,
        clock: Callable[[], int],
        about: Callable[[], Mapping[str, Any]],
        on_lost: Callable[[], None],
        on_dead: Callable[[], None],
    ) -> None:
        self.times = times
        self._engine = engine
        self._database = database
        self._loop = loop
        self._me = me.instance
        self._clock = clock
        self._about = about
        self._on_lost = on_lost
        self._on_dead = on_dead
        self._own = OwnLease(times, sent)
        self._observer = Observer(times)
        self._swept = stopwatch()
        self._lost = False
        self._outage = Outage(logger, "No heartbeat", "heartbeats are answered again")
        self._end = threading.Event()
        self._watch = loop.call_later(self._left(), self._check)
        self._thread = threading.Thread(target=self._run, name="store-heartbeat", daemon=True)
        self._thread.start()

    def valid(self) -> bool:
        """Whether a run may be begun now."""
        return self._own.valid(stopwatch())

    def fence(self) -> float:
        """When nothing may be left of what was begun."""
        return self._own.fence

    def stop(self) -> None:
        """Beat no more. Blocks until a beat that is under way has come to its end."""
        self._watch.cancel()
        self._end.set()
        self._thread.join()

    # On the loop: the deadline. The thread may be waiting for a database that does not answer.

    def _left(self) -> float:
        return max(0.0, self._own.deadline - stopwatch())

    def _check(self) -> None:
        if self.valid():
            self._watch = self._loop.call_later(self._left(), self._check)
        else:
            self._lose()

    def _lose(self) -> None:
        self._watch.cancel()
        if not self._lost and not self._end.is_set():
            self._lost = True
            self._on_lost()

    # The thread

    def _run(self) -> None:
        while not self._end.wait(self.times.look):
            sent = stopwatch()
            if not self._own.valid(sent):
                return  # to beat on would keep what this life holds from being taken over
            try:
                if not self._beat(sent):
                    self._own.end()
                    self._tell(self._lose)
                    return
                self._look()
                self._outage.over()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next beat may come through
                self._observer.blind()
                self._outage.met(str(error).partition("\n")[0], instance=self._me)

    def _beat(self, sent: float) -> bool:
        with transaction(self._engine) as connection:
            alive = instances.beat(connection, self._me, self._about())
            connection.commit()
        if alive:
            self._own.answered(sent)
        return alive

    def _look(self) -> None:
        with transaction(self._engine) as connection:
            beats = instances.beats(connection)
            now = stopwatch()
            beats.pop(self._me, None)
            dead = self._observer.look(beats, now)
            if dead:
                instances.mark_dead(connection, dead, self._clock())
                connection.commit()
        if doubts := self._observer.doubts:
            with transaction(self._engine) as connection:
                instances.doubt(connection, doubts)
                connection.commit()
        if dead:
            self._end_connections(dead)
        for name in dead:
            logger.warning(
                "instance %s has died: its runs are taken over", name, extra={"instance": self._me}
            )
        if dead or now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            self._tell(self._on_dead)

    def _end_connections(self, dead: Iterable[str]) -> None:
        """End the connections of instances that are dead.

        If such an instance stands still in the middle of a transaction, no other could take over
        what it has locked.
        """
        try:
            with transaction(self._engine) as connection:
                self._database.terminate(connection, instances.writers_of_dead(connection, dead))
        except Exception as error:  # noqa: BLE001 - they may end by themselves
            said = str(error).partition("\n")[0]
            logger.warning(
                "The connections of the dead could not be ended: %s", said, extra={"instance": self._me}
            )

    def _tell(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            self._loop.call_soon_threadsafe(callback)
