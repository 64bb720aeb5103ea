"""Commands from a queue, on a channel of their own.

The channel is on the broker's connection, beside that of the events.

Every instance takes from the queue, whichever is free; a message is acknowledged when its command
was carried out, and goes back to the queue with the connection of an instance that dies over it. A
command may so be carried out twice: what it asks for is there after it, however often.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic, BasicProperties

from headrace_server.domain.command import Answer, Handler, Verdict

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Commands that are under way at once."""
RETRY_SECONDS: Final = 1.0
"""So long a command that cannot be carried out now is kept before it goes back to the queue."""
REOPEN_SECONDS: Final = 5.0


class Commands:
    """The consumer of the queue `queue`, which is declared durable if it is not there.

    Everything but the handler runs on the broker's thread.
    """

    def __init__(self, queue: str, handler: Handler) -> None:
        self._queue = queue
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._passive = False
        self._call: Callable[[Callable[[], Any]], None]
        self._io: IOLoop
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, io: IOLoop, call: Callable[[Callable[[], Any]], None]) -> None:
        """Use this loop; call has something done on its thread."""
        self._io = io
        self._call = call

    def opened(self, connection: SelectConnection) -> None:
        """There is a connection: take from the queue."""
        if connection.is_open:
            connection.channel(on_open_callback=partial(self._channel_opened, connection))

    def _channel_opened(self, connection: SelectConnection, channel: Channel) -> None:
        channel.add_on_close_callback(partial(self._channel_closed, connection))
        declared = partial(self._declared, channel)
        channel.queue_declare(self._queue, durable=True, passive=self._passive, callback=declared)

    def _channel_closed(self, connection: SelectConnection, _channel: Channel, error: BaseException) -> None:
        if isinstance(error, ChannelClosedByBroker):
            # Not ours to declare, or declared by somebody with other arguments: then it is there,
            # or will be.
            self._passive = not self._passive
            log.warning("no commands are taken from the queue %s, trying again: %s", self._queue, error)
            self._io.call_later(0.1 if self._passive else REOPEN_SECONDS, partial(self.opened, connection))

    def _declared(self, channel: Channel, _frame: Any) -> None:
        channel.basic_qos(prefetch_count=AT_ONCE, callback=lambda _frame: self._consume(channel))

    def _consume(self, channel: Channel) -> None:
        channel.basic_consume(self._queue, self._on_message)
        log.info("commands are taken from the queue %s", self._queue)

    def _on_message(
        self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        tag = method.delivery_tag or 0  # a delivery has one
        with suppress(RuntimeError):  # the event loop has closed
            self._loop.call_soon_threadsafe(self._begin, channel, tag, properties, body)

    # On the event loop's thread.

    async def close(self) -> None:
        """Answer nothing more.

        What is under way belongs to the broker again when the connection has gone.
        """
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, channel: Channel, tag: int, properties: BasicProperties, body: bytes) -> None:
        task = asyncio.create_task(self._execute(channel, tag, properties, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _execute(self, channel: Channel, tag: int, properties: BasicProperties, body: bytes) -> None:
        answer = await self._handler(properties.type or "", properties.content_type or "", body)
        if answer.reason:
            log.info("a command was not carried out (%s): %s", answer.verdict.name, answer.reason)
        if answer.verdict is Verdict.RETRY:
            await asyncio.sleep(RETRY_SECONDS)
        self._call(partial(self._settle, channel, tag, properties, answer))

    # On the broker's thread.

    def _settle(self, channel: Channel, tag: int, asked: BasicProperties, answer: Answer) -> None:
        if not channel.is_open:
            return  # the broker gives it to another
        with suppress(AMQPError):
            if answer.verdict is not Verdict.RETRY and asked.reply_to:
                properties = BasicProperties(
                    content_type="application/json", type=answer.kind, correlation_id=asked.correlation_id
                )
                channel.basic_publish("", asked.reply_to, answer.body, properties)
            if answer.verdict is Verdict.DONE:
                channel.basic_ack(tag)
            else:
                channel.basic_reject(tag, requeue=answer.verdict is Verdict.RETRY)
