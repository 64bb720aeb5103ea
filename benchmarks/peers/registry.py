"""The peers, each set up as its documentation recommends and as durably as Headrace, or it says that it is not."""

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


PEERS = (celery, dramatiq)
