"""How fast events go out, beside a bare publisher with confirms; and how fast a backlog drains that
two instances fill.

    .venv/bin/python -m benchmarks.broadcast [events in each repetition] [events of the backlog, at
    least]

First: events that wait in the outbox of a server on SQLite, which is started; the messages that are
in a queue are counted, for the server as for the bare publisher, in processes of their own, in
turn.

Then: two instances with workers on one PostgreSQL, submitted to without a pause. The broker is
stopped until so many events are in the outbox, four for each job, and started again. What is
counted is how many events reach the queue in a second until the outbox is as good as empty, and how
many are put into it meanwhile: the submits go on, on the same cores.
"""

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import psycopg

from benchmarks.load.submits import IN_FLIGHT, submit, submit_request
from benchmarks.rabbitmq import EXCHANGE, Broker, Queue, broker
from benchmarks.report.printed import show
from benchmarks.serving import ROOT
from headrace.v1 import job_service_pb2_grpc
from headrace_server.testing import LocalServer
from support.postgresql import cluster

REPETITIONS = 3
INSTANCES = 2
NOWHERE = "amqp://127.0.0.1:1/"
DRAINED = 1000
"""Events: where submits go on some are always on their way."""
LIMIT = 120.0


def main(count: int, backlog: int) -> None:
    """Measure."""
    rates: dict[str, list[float]] = {"relay/s": [], "bare/s": [], "relay / bare": []}
    drains: dict[str, list[float]] = {
        name: [] for name in ("filled/s", "drained/s", "filled/s meanwhile", "drained / filled")
    }
    with broker() as node:
        for _ in range(REPETITIONS):
            relay, bare = _relay(node, count), _bare(node, count)
            _add(rates, relay, bare, relay / bare)
        for filled, drained, meanwhile in _backlogs(node, backlog):
            _add(drains, filled, drained, meanwhile, drained / filled)
    show("broadcast", rates, events=count)
    show("broadcast backlog", drains, instances=INSTANCES, backlog=backlog)


def _add(figures: dict[str, list[float]], *values: float) -> None:
    for figure, value in zip(figures.values(), values, strict=True):
        figure.append(value)


def _server(folder: Path, **settings: object) -> LocalServer:
    server = LocalServer(folder, ["benchmarks.load.noops"], path=[ROOT], **settings)
    server.environment["BENCH_CLOCK"] = str(folder / "clock")
    return server


def _relay(node: Broker, count: int) -> float:
    with node.vhost() as url, tempfile.TemporaryDirectory() as name:
        with _server(Path(name), workers=0, amqp_url=NOWHERE) as server:
            submit(server.target, count)
        queue = Queue(url)
        with _server(Path(name), workers=0, amqp_url=url):
            return queue.rate(count)


def _bare(node: Broker, count: int) -> float:
    with node.vhost() as url:
        queue = Queue(url)
        command = [sys.executable, "-m", "benchmarks.bare_publisher", url, EXCHANGE, str(count)]
        with subprocess.Popen(command, cwd=ROOT):
            return queue.rate(count)


def _backlogs(node: Broker, backlog: int) -> Iterator[tuple[float, float, float]]:
    """Events a second: into the outbox while the broker is away, out of it afterwards, into it
    meanwhile.
    """
    with ExitStack() as ends:
        url = ends.enter_context(node.vhost())
        queue = Queue(url)
        database = ends.enter_context(_database())
        addresses = []
        for _ in range(INSTANCES):
            folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
            server = _server(folder, workers=1, amqp_url=url, database_url=database, drain_time=1)
            addresses.append(ends.enter_context(server).target)
        outbox = ends.enter_context(psycopg.connect(database, autocommit=True))
        for _ in range(REPETITIONS):
            with _submitting(addresses):
                filled = _outage(node, outbox, backlog)
                drained, meanwhile = _drained(queue, outbox)
            yield filled, drained, meanwhile


def _outage(node: Broker, outbox: psycopg.Connection, backlog: int) -> float:
    """The broker is away until so many events wait: events that are put into the outbox in a
    second.
    """
    node.stop()
    before, began = _waiting(outbox), time.perf_counter()
    while (found := _waiting(outbox)) < before + backlog:
        time.sleep(0.1)
    filled = (found - before) / (time.perf_counter() - began)
    node.start()
    return filled


def _drained(queue: Queue, outbox: psycopg.Connection) -> tuple[float, float]:
    """Messages that come in a second, from the first to the end of the backlog, and events that are
    put into the outbox.
    """
    counts = queue.counts()
    _, before = next(counts)
    first: tuple[float, int, int] | None = None
    for now, found in counts:
        if first is None and found == before:
            continue
        waiting = _waiting(outbox)
        began, came, waited = first = first or (now, found, waiting)
        if waiting <= DRAINED:
            rate = (found - came) / (now - began)
            return rate, rate - (waited - waiting) / (now - began)
        if now - began > LIMIT:
            raise SystemExit(f"After {LIMIT:g} s {waiting} events still wait.")
    raise AssertionError("not reached")


def _waiting(outbox: psycopg.Connection) -> int:
    found = outbox.execute("SELECT count(*) FROM outbox").fetchone()
    return int(found[0]) if found else 0


@contextmanager
def _database() -> Iterator[str]:
    with cluster() as server:
        yield server.create("headrace_benchmark_broadcast")
        server.drop("headrace_benchmark_broadcast")


@contextmanager
def _submitting(addresses: list[str]) -> Iterator[None]:
    """Submits to all of them, without a pause, until the block ends."""
    over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_submit_until(addresses, over)))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def _submit_until(addresses: list[str], over: threading.Event) -> None:
    async with asyncio.TaskGroup() as callers:
        for address in addresses:
            callers.create_task(_submit_to(address, over))


async def _submit_to(address: str, over: threading.Event) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)

        async def caller() -> None:
            while not over.is_set():
                await jobs.SubmitJob(submit_request())

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 5000,
        int(sys.argv[2]) if len(sys.argv) > 2 else 10_000,  # noqa: PLR2004 - the second argument
    )
