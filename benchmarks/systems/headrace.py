"""Headrace as it is shipped: `serve`, in a process of its own, every commit synced."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.bench import ROOT, Bench
from benchmarks.load.clock import Clock
from benchmarks.load.submits import NOOP, submit, submit_batches
from benchmarks.systems.system import Lone, System
from headrace import Client, JobStatus
from headrace_server.testing import LocalServer

WORKERS = 2
WARM = 30
DATABASES = ("SQLite", "PostgreSQL")
JOBS = "benchmarks.load.noops"


class Headrace(System):
    """On one kind of database."""

    durable = "yes: committed and synced"
    known = "Client.run: the end is stored, then told"
    work = "2 worker processes, every transition stored"

    def __init__(self, bench: Bench, database: str) -> None:
        self.name = f"Headrace, {database}"
        self.bench = bench
        self._database = database

    def submits(self, count: int, in_flight: int) -> float:
        """See System."""
        with self.place() as place, place.server(workers=0) as server:
            submit(server.target, max(2, count // 10))  # warm
            return submit(server.target, count, in_flight)

    def batches(self, count: int, size: int) -> float | None:
        """See System."""
        with self.place() as place, place.server(workers=0) as server:
            submit_batches(server.target, size, size)  # warm
            return submit_batches(server.target, count, size)

    def drain(self, count: int) -> float:
        """See System."""
        with self.place() as place:
            with place.server(workers=0) as server:
                submit(server.target, count)
            with place.server(workers=WORKERS) as server, Client(server.target) as client:
                rate = place.clock.rate(count)
                while client.count(statuses=JobStatus.SUCCEEDED).total < count:
                    time.sleep(0.05)
                return rate

    def lone(self, count: int) -> list[Lone]:
        """See System."""
        with (
            self.place() as place,
            place.server(workers=WORKERS) as server,
            Client(server.target) as client,
        ):
            return [self._lone(client, place.clock) for _ in range(WARM + count)][WARM:]

    @staticmethod
    def _lone(client: Client, clock: Clock) -> Lone:
        began = time.time()
        client.run(NOOP)
        done = time.time()
        return Lone(1000 * (clock.runs().last - began), 1000 * (done - began))

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """An empty database."""
        with ExitStack() as ends:
            folder = ends.enter_context(self.bench.folder())
            url = f"sqlite:///{folder}/headrace.db"
            if self._database == "PostgreSQL":
                url = ends.enter_context(self.bench.database())
            yield Place(folder, url)


class Place:
    """A database, and servers on it, one after the other or several at once."""

    def __init__(self, folder: Path, url: str) -> None:
        self.clock = Clock(folder / "clock")
        self.folder = folder
        self.url = url

    def server(
        self, *, workers: int, name: str = "server", jobs: str = JOBS, **settings: object
    ) -> LocalServer:
        """One that is not started yet."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        made = LocalServer(
            folder, [jobs], path=[ROOT], workers=workers, database_url=self.url, limit=60.0, **settings
        )
        made.environment["BENCH_CLOCK"] = str(self.folder / "clock")
        return made
