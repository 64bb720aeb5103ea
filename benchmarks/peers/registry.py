"""The peers, each set up as its documentation recommends and as durably as Headrace, or it says
that it is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.peers.peer import Peer


@contextmanager
def _rabbitmq(bench: Bench, _folder: Path) -> Iterator[str]:
    with bench.broker.vhost() as url:
        yield url


@contextmanager
def _postgresql(bench: Bench, _folder: Path) -> Iterator[str]:
    with bench.database() as url:
        yield url


@contextmanager
def _file(_bench: Bench, folder: Path) -> Iterator[str]:
    yield str(folder / "huey.db")


def celery(bench: Bench) -> Peer:
    """RabbitMQ, prefork 2."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")
    app = "benchmarks.peers.celery.app"
    return Peer(
        "celery",
        bench,
        _rabbitmq,
        [("-m", "celery", "-A", app, "worker", "--pool", "prefork", "--concurrency", "2", *quiet)],
        durable="yes: durable queue, persistent messages, confirms (RabbitMQ may confirm a classic queue's message before its fsync)",
        known="a result message (rpc://), which is not kept",
        work="prefork 2, acknowledged late; in the drain no results",
    )


def dramatiq(bench: Bench) -> Peer:
    """RabbitMQ, 2 processes of 8 threads."""
    return Peer(
        "dramatiq",
        bench,
        _rabbitmq,
        [("-m", "dramatiq", "benchmarks.peers.dramatiq.app", "--processes", "2", "--threads", "8")],
        durable="yes: durable queue, persistent messages, confirms (as celery's)",
        known="not at all without Redis or Memcached: seen on a page of shared memory",
        work="2 processes of 8 threads, acknowledged after the run, no results",
    )


def procrastinate(bench: Bench) -> Peer:
    """PostgreSQL, 2 workers of 10 jobs at once."""
    worker = (
        "-m",
        "procrastinate",
        "-a",
        "benchmarks.peers.procrastinate.app.app",
        "worker",
        "--concurrency",
        "10",
    )
    return Peer(
        "procrastinate",
        bench,
        _postgresql,
        [worker, worker],
        durable="yes: committed and synced",
        known="asking for the status every millisecond",
        work="2 processes, each 10 coroutines at once, the status stored",
        commands=frozenset({"prepare", "batches"}),
    )


def pgqueuer(bench: Bench) -> Peer:
    """PostgreSQL, 2 workers that take 100 jobs at once."""
    worker = ("-m", "benchmarks.peers", "pgqueuer", "work")
    return Peer(
        "pgqueuer",
        bench,
        _postgresql,
        [worker, worker],
        durable="yes: committed and synced",
        known="its CompletionWatcher, which waits for 1 ms instead of its 50; workers write ends in batches",
        work="2 processes, coroutines on uvloop, 100 jobs claimed at once, ends written in batches",
        commands=frozenset({"prepare", "batches"}),
    )


def huey(bench: Bench) -> Peer:
    """SQLite, 2 worker processes."""
    options = (
        "--workers",
        "2",
        "--worker-type",
        "process",
        "--delay",
        "0.005",
        "--max-delay",
        "0.01",
        "--no-periodic",
    )
    return Peer(
        "huey",
        bench,
        _file,
        [("-m", "huey.bin.huey_consumer", "benchmarks.peers.huey.app.huey", *options, "--quiet")],
        durable="yes: committed and synced (fsync=True); a job leaves the table before it runs, so a killed worker loses it",
        known="asking for the result every millisecond",
        work="2 processes, which ask every 5 to 10 ms instead of its 100, the result stored",
    )


PEERS = (celery, dramatiq, procrastinate, pgqueuer, huey)
