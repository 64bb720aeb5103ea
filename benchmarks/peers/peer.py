"""A peer: its application runs in its own environment; here it is started, told a verb, and ended."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import ROOT, Bench
from benchmarks.load.clock import Clock
from benchmarks.peers.environment import python_of
from benchmarks.systems.system import Lone, System

WORKERS = 2
LIMIT = 120.0
Service = Callable[[Bench, Path], AbstractContextManager[str]]


@dataclass
class Peer(System):
    """service: gives an empty place for its jobs. workers: the arguments of python for its workers,
    all at once.

    commands: those that it has besides submits and lone.
    """

    name: str
    bench: Bench
    service: Service
    workers: Sequence[Sequence[str]]
    durable: str
    known: str
    work: str
    commands: frozenset[str] = field(default_factory=frozenset)

    def submits(self, count: int, in_flight: int) -> float:
        """See System."""
        with self._place() as place:
            return float(place.ask("submits", count, in_flight))

    def batches(self, count: int, size: int) -> float | None:
        """See System."""
        if "batches" not in self.commands:
            return None
        with self._place() as place:
            return float(place.ask("batches", count, size))

    def drain(self, count: int) -> float:
        """See System."""
        with self._place() as place:
            if "batches" in self.commands:
                place.ask("batches", count, 1000)
                queued = count
            else:
                place.ask("submits", count, 8)
                queued = count + 1  # the first made the connection
            with place.working():
                return place.clock.rate(queued)

    def lone(self, count: int) -> list[Lone]:
        """See System."""
        with self._place() as place, place.working():
            return [Lone(started, done) for started, done in place.ask("lone", count)]

    @contextmanager
    def _place(self) -> Iterator["Place"]:
        with ExitStack() as ends:
            folder = ends.enter_context(self.bench.folder())
            url = ends.enter_context(self.service(self.bench, folder))
            place = Place(self, folder, url)
            if "prepare" in self.commands:
                place.ask("prepare")
            yield place


class Place:
    """A peer with empty queues: what is done there."""

    def __init__(self, peer: Peer, folder: Path, url: str) -> None:
        self.clock = Clock(folder / "clock")
        self._peer = peer
        self._folder = folder
        self._python = python_of(peer.name)
        self._environment = {
            **os.environ,
            "BENCH_SERVICE": url,
            "BENCH_CLOCK": str(folder / "clock"),
            "PYTHONPATH": str(ROOT),
            "C_FORCE_ROOT": "true",
        }

    def ask(self, verb: str, *counts: int) -> Any:
        """What a verb answers. Raises RuntimeError with what it has printed if it fails."""
        command = [self._python, "-m", "benchmarks.peers", self._peer.name, verb, *map(str, counts)]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self._peer.name} {verb} failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def working(self) -> Iterator[None]:
        """Its workers, for the length of the block."""
        with (self._folder / "workers.log").open("ab") as log:
            workers = [
                subprocess.Popen(
                    [self._python, *arguments],
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                )
                for arguments in self._peer.workers
            ]
            try:
                yield
            except TimeoutError as error:
                printed = (self._folder / "workers.log").read_text(errors="replace")[-1500:]
                raise RuntimeError(f"{error}; its workers have printed: {printed}") from error
            finally:
                _end(workers)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + 10
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
