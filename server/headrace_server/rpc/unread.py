"""Answers that are under way: what a client does not read, the server holds.

    call ──> room? ──> its turn at the store ──> room still? ──> answer ──> room still? held ──> it has gone out
             └───────────────────────────────────┴─────────────────────────┴──> no: TOO_MANY_CALLS, held likewise
    30 s in which nothing goes out, or twice the room taken by one that asks on and on: the
    connection is cut, what it held is freed

gRPC holds an answer until its client takes it, in memory that it names nowhere. But a call is done
only when its answer has gone out, so the bytes of answers are counted from the one moment to the
other: of each connection, and of all. What gRPC keeps of the call itself is more than most answers,
and is counted with each. Errors are not: they have no body that waits for room, and go out whether
they are read or not.

Few calls of one connection read the store at a time: there are fewer threads that read, so nobody
waits longer, and hundreds that come in one moment are refused by what the first of them have left
unread, before anything is read for the rest. An answer that finds no room is dropped, and its call
can be repeated like every other; but not that of a SubmitJob, which may have no request_id: the
requests of those are bounded themselves.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from headrace_server.control.background import Background
from headrace_server.control.validate.limits import Limits
from headrace_server.domain.errors import TooManyCalls

READING: Final = 8
"""Calls of one connection that read the store at a time."""
SHARE: Final = 4
"""The divisor of a connection's limit: one that holds less is cut only in a shortage.

There is a shortage when all connections together hold half of what they may. A slow link takes long
for one large answer.
"""
CALL: Final = 24 << 10
"""Bytes that an unread call takes beside its answer.

Calls with answers of 125 bytes took 238 MB for 10,000 of them (grpcio 1.85).
"""
EXCESS: Final = 2
"""The multiple of its room at which a connection is cut at once.

A connection that holds so much, though all beyond its room was refused, reads nothing and asks on.
"""
STILL_SECONDS: Final = 1.0
"""If nothing has gone out to it for so long; else at EXCESS times EXCESS."""
PEAK: Final = 4 << 20
"""Bytes: what has been held and let go again that is worth giving back to the machine."""
GIVE_BACK_SECONDS: Final = 20.0
"""Seconds for which freed memory is given back again and again.

What was let go is freed later, by threads of gRPC's own.
"""


class Connection:
    """The other end of one connection. It is known for as long as a call of it is."""

    def __init__(self, peer: str, unread: "Unread") -> None:
        self.peer = peer
        self.bytes = 0
        self.moved = 0.0
        """When an answer last went out, or the first began to wait; monotonic."""
        self.turn = asyncio.Semaphore(READING)
        self.cut = False
        """It is being ended."""
        self._unread = unread

    def check(self, size: int = 0) -> None:
        """Raise TooManyCalls when there is no room for so many bytes, or for any more.

        The room is that of this connection, and that of all together.
        """
        self._unread.check(self, size)

    def check_own(self) -> None:
        """Raise TooManyCalls when this connection has no room, whatever the others hold.

        This is for calls that look after the server.
        """
        self._unread.check_own(self, 0)

    def hold(self, size: int) -> None:
        """So many bytes wait to be read."""
        if not self.bytes:
            self.moved = time.monotonic()
        self.bytes += size
        self._unread.changed(size)
        self._unread.cut_at_excess(self)

    def let_go(self, size: int) -> None:
        """It has gone out, or its call is over."""
        self.bytes -= size
        self.moved = time.monotonic()
        self._unread.changed(-size)


class Unread(Background):
    """All connections.

    `cut` ends one; `give_back` returns freed memory to the machine. Both block, and are called on a
    thread.
    """

    def __init__(self, limits: Limits, *, cut: Callable[[str], bool], give_back: Callable[[], None]) -> None:
        self._limits = limits
        self._cut = cut
        self._give_back = give_back
        self._connections: WeakValueDictionary[str, Connection] = WeakValueDictionary()
        self._bytes = 0
        self._peak = 0
        self._cuts = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._give_back_until = 0.0
        """Monotonic."""

    def of(self, peer: str) -> Connection:
        """The connection with this other end."""
        found = self._connections.get(peer)
        if found is None:
            found = self._connections[peer] = Connection(peer, self)
        return found

    def check(self, connection: Connection, size: int) -> None:
        """Check the room of a connection and of all: see Connection.

        An answer larger than the whole limit has room when nothing else is held.
        """
        limits = self._limits
        self.check_own(connection, size)
        if self._bytes and self._bytes + size >= limits.unread_bytes:
            raise TooManyCalls(
                f"Answers of {_mib(self._bytes)} MiB wait on this server to be read (max_unread_mib): try again."
            )

    def check_own(self, connection: Connection, size: int) -> None:
        """Likewise, of the connection alone."""
        limits = self._limits
        if connection.bytes and connection.bytes + size >= limits.unread_bytes_per_connection:
            raise TooManyCalls(
                f"This connection has {_mib(connection.bytes)} MiB of answers that it has not read "
                "(max_unread_mib_per_connection): read them, then ask again."
            )

    def cut_at_excess(self, connection: Connection) -> None:
        """Cut a connection at once when it holds far too much.

        In the seconds until it is looked at, it could ask for all memory.
        """
        most = EXCESS * self._limits.unread_bytes_per_connection
        if connection.cut or connection.bytes < most:
            return
        if connection.bytes >= EXCESS * most or time.monotonic() - connection.moved >= STILL_SECONDS:
            connection.cut = True
            ending = asyncio.create_task(self._end(connection.peer))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _end(self, peer: str) -> None:
        self._cuts += await asyncio.to_thread(self._cut, peer)

    def changed(self, size: int) -> None:
        """So many bytes more are held."""
        self._bytes += size
        self._peak = max(self._peak, self._bytes)

    def counters(self) -> Mapping[str, int]:
        """Gauges for GetServerInfo."""
        held = [one.bytes for one in self._connections.values() if one.bytes]
        return {
            "unread_bytes": self._bytes,
            "unread_bytes_of_one_connection": max(held, default=0),
            "connections_with_unread": len(held),
            "connections_cut_total": self._cuts,
        }

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self._limits.unread_seconds / 4))
            for peer in self._stuck():
                await self._end(peer)
            if self._peak >= PEAK and self._bytes <= self._peak / 2:
                self._peak = self._bytes
                self._give_back_until = time.monotonic() + GIVE_BACK_SECONDS
            if time.monotonic() <= self._give_back_until:
                await asyncio.to_thread(self._give_back)

    def _stuck(self) -> list[str]:
        limits = self._limits
        least = limits.unread_bytes_per_connection // SHARE if self._bytes < limits.unread_bytes / 2 else 1
        before = time.monotonic() - limits.unread_seconds
        return [one.peer for one in self._connections.values() if one.bytes >= least and one.moved <= before]


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
