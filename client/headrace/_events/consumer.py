"""The consumer: one queue, one handler, each event once and in the order of its job."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

from headrace._events.errors import InvalidBroadcast
from headrace._events.held import Held
from headrace._events.message import Broadcast, decode
from headrace._events.positions import RecentPositions
from headrace._events.selection import DEFAULT_KINDS, Selection
from headrace.client import Client
from headrace.errors import HeadraceError, InvalidArgument, JobNotFound
from headrace.info import EventKind, JobEvent, JobStatus

URL_VARIABLES = ("HEADRACE_AMQP_URL", "AMQP_URL")
DEFAULT_EXCHANGE = "headrace.events"
ONE_AT_A_TIME = {"x-single-active-consumer": True}
PREFETCH_MAX = 65_535

log = logging.getLogger("headrace.events")


class _HistoryUnread(Exception):
    """The history of a job could not be read: no fault of the handler's."""


class EventConsumer:
    """Consumes the status events of jobs from a durable queue, and hands each to a handler.

    queue: its name; declared, bound and kept: what happens while nobody consumes waits there.
    handler: called with one JobEvent after the other, on the thread of run(); when it returns, the
    event is acknowledged. url: amqp:// or amqps://, several nodes of a cluster separated by commas;
    left out, that of the environment's HEADRACE_AMQP_URL or AMQP_URL. statuses, tenants, types:
    only events with one of these; empty means any. kinds: those to be shown, which the server must
    broadcast (its setting events_kinds). exchange: the server's events_exchange. client: fills
    gaps. positions: how far each job has come, by its id; a mapping of yours that is kept somewhere
    makes restarts seamless, and is taken to know every job that was ever seen. Left out: the last
    10,000 jobs, in memory, each from the first event that comes. prefetch: how many events are held
    unacknowledged, at most. max_attempts: how often the handler is given an event that it fails on,
    before the event is rejected for good; None: until it succeeds. queue_arguments: those the queue
    is declared with. Left out: one consumer of the queue is active at a time, so that several
    copies of a service keep the order, and another takes over when one ends.

    headrace.events has the whole story. Raises InvalidArgument for what cannot be,
    ModuleNotFoundError without pika.
    """

    def __init__(
        self,
        queue: str,
        handler: Callable[[JobEvent], object],
        *,
        url: str | None = None,
        statuses: Iterable[JobStatus | str] = (),
        tenants: Iterable[str] = (),
        types: Iterable[str] = (),
        kinds: Iterable[EventKind | str] = DEFAULT_KINDS,
        exchange: str = DEFAULT_EXCHANGE,
        client: Client | None = None,
        positions: MutableMapping[str, int] | None = None,
        prefetch: int = 100,
        max_attempts: int | None = None,
        queue_arguments: Mapping[str, Any] = ONE_AT_A_TIME,
    ) -> None:
        if not queue:
            raise InvalidArgument.of("queue", "It is empty: the queue of a service has its name.")
        if not 1 <= prefetch <= PREFETCH_MAX:
            raise InvalidArgument.of("prefetch", f"It is from 1 to {PREFETCH_MAX}.")
        if max_attempts is not None and max_attempts < 1:
            raise InvalidArgument.of("max_attempts", "It is at least 1, or None for no end.")
        self._handler = handler
        self._selection = Selection.of(statuses, tenants, types, kinds)
        self._client = client
        self._positions = RecentPositions() if positions is None else positions
        self._knows_all = positions is not None
        self._max_attempts = max_attempts
        self._held: Held[tuple[Any, Broadcast]] = Held()
        self._stopped = False
        # Of all queues of Python this one alone can be written to by a signal handler that
        # interrupts its reader.
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._pika = _link_module()
        topology = self._pika.Topology(exchange, queue, self._selection.keys(), queue_arguments)
        self._link = self._pika.Link(_url(url), topology, prefetch, self._inbox)

    def run(self) -> None:
        """Consumes events until stop() is called, then returns once the handler has returned.

        A consumer runs once.

        Connections that are lost are made again, without end. Raises BrokerRefused when the broker
        is reached at first and refuses. Ctrl-C goes on as KeyboardInterrupt: the event that it
        interrupted, and those not yet handled, stay in the queue.
        """
        if self._stopped:
            return
        self._link.open()
        try:
            while not self._stopped:
                found = self._next()
                if found is not None:
                    self._handle(*found)
        finally:
            self._stopped = True
            self._link.close()

    def stop(self) -> None:
        """Makes run() return once the handler is done with its event.

        It may be called from any thread and from a signal handler.
        """
        self._stopped = True
        self._inbox.put(None)

    def _next(self) -> tuple[Any, Broadcast] | None:
        """The next event that can be handled; None when something else has happened."""
        if (held := self._held.due()) is not None:
            return held
        try:
            arrival = self._inbox.get(timeout=self._held.wait())
        except Empty:
            return None
        if isinstance(arrival, Exception):
            raise arrival
        if isinstance(arrival, self._pika.Connected):
            self._held.forget()
        elif arrival is not None:
            return self._read(arrival)
        return None

    def _read(self, delivery: Any) -> tuple[Any, Broadcast] | None:
        try:
            broadcast = decode(delivery.headers, delivery.body, delivery.content_type)
        except InvalidBroadcast as error:
            log.warning("A message was rejected: %s", error)
            self._link.settle(delivery, handled=False)
            return None
        found = (delivery, broadcast)
        return None if self._held.add(broadcast.event.job_id, found) else found

    def _handle(self, delivery: Any, broadcast: Broadcast) -> None:
        job_id = broadcast.event.job_id
        try:
            self._hand_over(broadcast)
        except _HistoryUnread as error:
            pause = self._held.failed(job_id, (delivery, broadcast))
            log.warning(
                "A gap before event %s is not filled yet; next try in %g s: %s", broadcast.id, pause, error
            )
        except Exception as error:  # noqa: BLE001 - told, and tried again
            self._failed(delivery, broadcast, error)
        else:
            self._link.settle(delivery, handled=True)
            self._held.settled(job_id)

    def _failed(self, delivery: Any, broadcast: Broadcast, error: Exception) -> None:
        """The handler has raised: later again, or never."""
        event = broadcast.event
        attempts = self._held.failures(event.job_id) + 1
        if self._max_attempts is None or attempts < self._max_attempts:
            pause = self._held.failed(event.job_id, (delivery, broadcast))
            log.error("The handler failed on event %s; next try in %g s", broadcast.id, pause, exc_info=error)
            return
        log.error(
            "The handler failed %d times on event %s: it is rejected", attempts, broadcast.id, exc_info=error
        )
        self._positions[event.job_id] = event.revision
        self._link.settle(delivery, handled=False)
        self._held.settled(event.job_id)

    def _hand_over(self, broadcast: Broadcast) -> None:
        """Passes an event to the handler, preceded by any events that are missing before it.

        A duplicate is dropped.
        """
        event, previous = broadcast.event, broadcast.previous_revision
        known = self._positions.get(event.job_id, 0 if self._knows_all else previous)
        if event.revision <= known:
            return
        if known < previous:
            self._fill(event, known, previous)
        self._show(event)

    def _fill(self, event: JobEvent, after: int, until: int) -> None:
        """Shows what the job's history has after one revision, up to another."""
        if self._client is None:
            log.warning(
                "Job %s: events after revision %d, up to %d, did not come", event.job_id, after, until
            )
            return
        missed = iter(self._client.events(event.job_id, tenant=event.tenant, after_revision=after))
        shown = 0
        while (one := _read_on(missed)) is not None and one.revision <= until:
            shown += self._show(one)
        log.info("Job %s: %d events that did not come were read from its history", event.job_id, shown)

    def _show(self, event: JobEvent) -> bool:
        """Calls the handler if the event was asked for, and records the position either way.

        Returns whether the event was asked for.
        """
        wanted = self._selection.has(event)
        if wanted:
            self._handler(event)
        self._positions[event.job_id] = event.revision
        return wanted


def _read_on(history: Iterator[JobEvent]) -> JobEvent | None:
    """Returns the next event of a history, or None at its end.

    Raises _HistoryUnread when the server cannot say. None also stands for a job that no longer
    exists.
    """
    try:
        return next(history, None)
    except JobNotFound as error:
        log.warning("A gap stays: %s", error)  # deleted, and its history with it
        return None
    except HeadraceError as error:
        raise _HistoryUnread(str(error)) from error


def _url(given: str | None) -> str:
    named = (os.environ.get(name) for name in URL_VARIABLES)
    url = given or next(filter(None, named), None)
    if url is None:
        raise InvalidArgument.of("url", f"Give it, or set {URL_VARIABLES[0]}.")
    return url


def _link_module() -> Any:
    """The part that needs pika, loaded when a consumer is made: reading a message needs none."""
    try:
        return import_module("headrace._events.link")
    except ModuleNotFoundError as error:
        if error.name != "pika":
            raise
        raise ModuleNotFoundError(
            "EventConsumer needs pika: pip install 'headrace[amqp]'.", name="pika"
        ) from error
