"""Wrappers that count the answers of calls as unread until they have gone out; see unread."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from headrace_server.rpc.handler import Context, Handler, Method
from headrace_server.rpc.unread import CALL, Connection, Unread

Admit = Callable[[Connection], None]
"""Raises TooManyCalls for a connection that gets no answer now."""


class UnreadAnswers:
    """The wrappers that count answers.

    Each answers with bytes, since they have been counted: gRPC serializes nothing more.
    """

    def __init__(self, unread: Unread) -> None:
        self._unread = unread

    def count(self, method: Method, handler: Handler) -> Handler:
        """Refuse a call for which there is no room.

        That is checked before anything is read for it, and when it is to be answered.
        """
        return self._counting(method, handler, Connection.check, refuse=True)

    def count_and_keep(self, method: Method, handler: Handler) -> Handler:
        """Count as `count` does, but give the answer even if it finds no room.

        Without a request_id, to ask again would be to do it again.
        """
        return self._counting(method, handler, Connection.check, refuse=False)

    def count_own(self, method: Method, handler: Handler) -> Handler:
        """For calls that look after the server: refused only to a connection that does not read."""
        return self._counting(method, handler, Connection.check_own, refuse=False)

    def _counting(self, method: Method, handler: Handler, admit: Admit, *, refuse: bool) -> Handler:
        connection_of, serialize = self._unread.of, method.serialize

        async def counted(request: Any, context: Context) -> bytes:
            connection = connection_of(context.peer())
            admit(connection)
            data = serialize(await handler(request, context))
            if refuse:
                connection.check(len(data) + CALL)
            _hold(connection, context, len(data))
            return data

        return counted

    def take_turn(self, _method: Method, handler: Handler) -> Handler:
        """Let few calls of one connection read the store at a time.

        What they have left unread may refuse the next.
        """
        connection_of = self._unread.of

        async def in_turn(request: Any, context: Context) -> Any:
            connection = connection_of(context.peer())
            async with connection.turn:
                connection.check()
                return await handler(request, context)

        return in_turn

    def stream(self, method: Method, handler: Handler) -> Handler:
        """Refuse a stream for which there is no room.

        Each message is counted until it has gone out.
        """
        return self._counting_messages(method, handler, Connection.check)

    def stream_own(self, method: Method, handler: Handler) -> Handler:
        """Wrap a stream that looks after the server itself.

        It is refused only to a connection that does not read.
        """
        return self._counting_messages(method, handler, Connection.check_own)

    def _counting_messages(self, method: Method, handler: Handler, admit: Admit) -> Handler:
        async def counted(request: Any, context: Context) -> None:
            connection = self._unread.of(context.peer())
            admit(connection)
            await handler(request, _Counted(context, connection, method))  # type: ignore[arg-type] # what handlers use of it

        return counted


class _Counted:
    """The part of its context that the handler of a stream uses.

    Each message counts as unread until it has gone out.
    """

    def __init__(self, context: Context, connection: Connection, method: Method) -> None:
        self.abort = context.abort
        self.invocation_metadata = context.invocation_metadata
        self.peer = context.peer
        self._write = context.write
        self._connection = connection
        self._serialize = method.serialize

    async def write(self, message: Any) -> None:
        """Send a message.

        Raises TooManyCalls when too much is unread; the watch then goes on later from where it was.
        """
        data = self._serialize(message)
        self._connection.check(len(data))
        self._connection.hold(len(data))
        try:
            await self._write(data)
        except grpc.aio.InternalError:  # nobody is there any more
            raise asyncio.CancelledError from None
        finally:
            self._connection.let_go(len(data))


def _hold(connection: Connection, context: Context, size: int) -> None:
    """From now until it has gone out, an answer of so many bytes counts as unread, and its call."""
    connection.hold(size + CALL)
    context.add_done_callback(lambda _context: connection.let_go(size + CALL))  # type: ignore[arg-type] # any name
