"""The broker: one connection to RabbitMQ, on a thread of its own.

    event loop                       thread "broker"
    publish(…) ──── callback ──────> basic_publish … basic_publish
    on_settled  <─── one call ────── ack (many at once) · nack · return + ack
    on_up, on_down <──────────────── connected, exchange declared · gone: again in a moment

pika is not thread-safe: everything of it is done on that thread; the others hand over and go on.
Publisher confirms are on, and many messages under way: to wait for each would cost a round trip and
a sync of the broker's disk for each. `mandatory` has the broker give back what no queue wants; that
comes before the confirm of the same message.

A broker that is short of memory or disk stops reading (connection.blocked): what is published waits
here, and after 30 s the connection is given up, since a broker in that state answers no heartbeats
either.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any, Final

from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker, ConnectionWrongStateError
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from headrace_server.amqp.commands import Commands
from headrace_server.amqp.envelope import Envelope
from headrace_server.amqp.url import parameters
from headrace_server.domain.broadcast import Ack, Broadcast, Disposition
from headrace_server.domain.job import Job, Progress

log = logging.getLogger(__name__)

PAUSE_FIRST, PAUSE_MAX = 0.2, 5.0
"""Seconds before the broker is asked again."""
ACCESS_REFUSED, PRECONDITION_FAILED, NOT_FOUND = 403, 406, 404
END_SECONDS: Final = 2.0
"""So long a connection has to be closed in order."""


class Broker:
    """A domain.ports.outbox.Publisher for a broker.

    `urls` are of one broker or of the nodes of a cluster, tried in turn.
    """

    def __init__(
        self,
        urls: Sequence[str],
        exchange: str,
        envelope: Envelope,
        *,
        name: str,
        commands: Commands | None = None,
    ) -> None:
        """Prepare a publisher to `exchange`.

        `name` is what the connection is called in the broker's own lists. `commands` are taken by
        the same connection.

        Raises BrokerRefused.
        """
        self.on_up: Callable[[], None] = lambda: None
        self.on_down: Callable[[], None] = lambda: None
        self.on_settled: Callable[[Sequence[Ack]], None] = lambda _settled: None
        self._parameters = deque(parameters(url, name) for url in urls)
        self._exchange = exchange
        self._envelope = envelope
        self._loop = asyncio.get_running_loop()
        self._io = IOLoop()
        self._commands = commands
        if commands is not None:
            commands.attach(self._io, self.call)
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._up = False
        self._passive = False
        """Whether only to look if the exchange is there, without declaring it.

        The exchange is not ours to declare, or has been declared otherwise.
        """
        self._pause = PAUSE_FIRST
        self._ending = False
        self._handed: deque[Broadcast] = deque()
        """Handed over by the event loop, and not yet seen by the thread."""
        self._waiting: deque[Broadcast] = deque()
        """Not published yet: the broker is short of something."""
        self._blocked = False
        self._tag = 0
        self._unconfirmed: dict[int, Broadcast] = {}
        self._returned: set[str] = set()
        self._acknowledged: list[Ack] = []
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    # On the event loop's thread.

    def start(self) -> None:
        """Connect, and go on trying to."""
        self._thread.start()

    def publish(self, broadcasts: Sequence[Broadcast]) -> None:
        """Have these sent."""
        if broadcasts and not self._ending:
            self._handed.extend(broadcasts)
            self.call(self._take_over)

    def call(self, callback: Callable[[], Any]) -> None:
        """Have this called on the broker's thread, while there is one."""
        if self._thread.is_alive():
            self._io.add_callback_threadsafe(callback)

    def publish_progress(self, job: Job, progress: Progress) -> None:
        """Send a job's progress, if the broker takes it now."""
        self.call(partial(self._publish_progress, job, progress))

    async def close(self) -> None:
        """Close the connection and end the thread. What is published after this is not sent."""
        self._ending = True
        if self._commands is not None:
            await self._commands.close()
        if self._thread.is_alive():
            self.call(self._end)
            await asyncio.to_thread(self._thread.join)

    # On the broker's thread.

    def _run(self) -> None:
        self._io.call_later(0, self._connect)
        while True:
            try:
                self._io.start()
            except Exception as error:
                # A defect at one message must not be the end of all: they are published again, over
                # another connection.
                log.exception("the broker's connection met a defect, and is made anew")
                self._give_up(error)
            else:
                break
        self._io.close()

    def _give_up(self, error: Exception) -> None:
        """Leave the connection as it is, and make another."""
        connection, self._connection = self._connection, None
        if connection is None or not self._abandon(connection):
            self._gone(None, error)

    def _abandon(self, connection: SelectConnection) -> bool:
        """Whether the end of the connection will be told: it is closing, or was closed by this."""
        try:
            connection.close(reply_text="a defect")
        except Exception:  # noqa: BLE001 - it may be in any state
            return connection.is_closing
        return True

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the event loop has closed: there is nobody left to tell
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _connect(self) -> None:
        if self._ending:
            return
        try:
            self._connection = SelectConnection(
                self._parameters[0],
                on_open_callback=self._opened,
                on_open_error_callback=self._gone,
                on_close_callback=self._gone,
                custom_ioloop=self._io,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._gone(None, error)

    def _gone(self, _connection: Any, error: BaseException | str) -> None:
        """The connection is gone, or never was: tell, and try the next node in a moment."""
        host = f"{self._parameters[0].host}:{self._parameters[0].port}"
        self._connection = self._channel = None
        self._waiting.clear()
        self._unconfirmed.clear()
        self._returned.clear()
        self._acknowledged.clear()
        self._blocked = False
        was_up, self._up = self._up, False
        if was_up:
            self._tell(self._down)
        if self._ending:
            self._io.stop()
            return
        said = str(error) or repr(error)
        if was_up or self._pause == PAUSE_FIRST:
            log.warning("no broker at %s, events wait: %s", host, said)
        self._parameters.rotate(-1)
        self._io.call_later(self._pause, self._connect)
        self._pause = min(PAUSE_MAX, 2 * self._pause)

    def _down(self) -> None:
        """On the event loop: what was handed over before this is not ours any more."""
        self._handed.clear()
        self.on_down()

    def _opened(self, connection: SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(self._unblock)
        connection.channel(on_open_callback=self._channel_opened)
        if self._commands is not None:
            self._commands.opened(connection)

    def _block(self, _connection: Any, method: Any) -> None:
        self._blocked = True
        log.warning("the broker takes nothing now, events wait: %s", method.method.reason)

    def _unblock(self, _connection: Any, _method: Any) -> None:
        self._blocked = False
        log.info("the broker takes events again")
        self._send()

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._return)
        channel.exchange_declare(
            self._exchange,
            exchange_type="topic",
            durable=True,
            passive=self._passive,
            callback=self._declared,
        )

    def _channel_closed(self, _channel: Channel, error: BaseException) -> None:
        if isinstance(error, ChannelClosedByBroker):
            if not self._up and error.reply_code in (ACCESS_REFUSED, PRECONDITION_FAILED):
                self._passive = not self._passive
            elif error.reply_code == NOT_FOUND:
                self._passive = False
        if self._connection is not None and self._connection.is_open:
            self._connection.close(reply_text=str(error)[:200])

    def _declared(self, _frame: Any) -> None:
        channel = self._channel
        if channel is not None:
            self._tag = 0
            channel.confirm_delivery(self._confirm, callback=self._ready)

    def _ready(self, _frame: Any) -> None:
        host = f"{self._parameters[0].host}:{self._parameters[0].port}"
        log.info("events go to the exchange %s at %s", self._exchange, host)
        self._pause = PAUSE_FIRST
        self._up = True
        self._tell(self.on_up)

    def _take_over(self) -> None:
        with suppress(IndexError):
            while True:
                self._waiting.append(self._handed.popleft())
        if not self._up:
            self._waiting.clear()  # it was handed over before on_down was heard, and will be again
        self._send()

    def _send(self) -> None:
        channel = self._channel
        while self._waiting and not self._blocked and self._up and channel is not None and channel.is_open:
            broadcast = self._waiting.popleft()
            try:
                key, properties, body = self._envelope.message(broadcast)
                channel.basic_publish(self._exchange, key, body, properties, mandatory=True)
            except Exception:
                # A defect in one must not end them all.
                log.exception("an event cannot be published", extra={"job_id": broadcast.event.job_id})
                self._settle(broadcast, Disposition.UNFIT)
                continue
            self._tag += 1
            self._unconfirmed[self._tag] = broadcast

    def _publish_progress(self, job: Job, progress: Progress) -> None:
        channel = self._channel
        if self._up and not self._blocked and channel is not None and channel.is_open:
            try:
                key, properties, body = self._envelope.progress(job, progress)
            except Exception:
                # As in _send: one that cannot be told is left out, and the others go on.
                log.exception("progress cannot be published", extra={"job_id": job.job_id})
                return
            self._tag += 1  # it is confirmed too, and nobody waits for that
            channel.basic_publish(self._exchange, key, body, properties)

    def _return(
        self, _channel: Channel, _method: Basic.Return, properties: BasicProperties, _body: bytes
    ) -> None:
        self._returned.add(str(properties.message_id))

    def _confirm(self, frame: Method[Any]) -> None:
        answer = frame.method
        tag = answer.delivery_tag
        tags = list(takewhile(lambda one: one <= tag, self._unconfirmed)) if answer.multiple else [tag]
        taken = isinstance(answer, Basic.Ack)
        for one in tags:
            broadcast = self._unconfirmed.pop(one, None)
            if broadcast is None:
                continue
            if broadcast.id in self._returned:
                self._returned.discard(broadcast.id)
                disposition = Disposition.UNROUTABLE
            else:
                disposition = Disposition.CONFIRMED if taken else Disposition.REFUSED
            self._settle(broadcast, disposition)

    def _settle(self, broadcast: Broadcast, disposition: Disposition) -> None:
        if not self._acknowledged:
            # Told together: what is confirmed before the loop below comes back to this.
            self._io.call_later(0, self._tell_settled)
        self._acknowledged.append((broadcast, disposition))

    def _tell_settled(self) -> None:
        told, self._acknowledged = self._acknowledged, []
        if told and self._up:
            self._tell(self.on_settled, told)

    def _end(self) -> None:
        if self._connection is None:
            self._io.stop()
            return
        self._io.call_later(END_SECONDS, self._io.stop)
        with suppress(ConnectionWrongStateError):  # it is being closed already
            self._connection.close()
