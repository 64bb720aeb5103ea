"""How long it takes until all is well again: after a killed worker, after a killed server, and
until a stop is true.

    .venv/bin/python -m benchmarks.recovery [rounds] [--write]

One server with one worker, every commit synced. With --write the table takes its place in
docs/guarantees.md. The last line printed is JSON.
"""

import json
import os
import platform
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving import ROOT
from headrace import Client
from headrace_server.testing import LocalServer

ROUNDS = 20
LIMIT = 60.0
PAGE = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- recovery: made by benchmarks/recovery.py -->", "<!-- /recovery -->"

STOPS = (
    ("cooperates", "a job that looks at its context", 10.0),
    ("sleeps", "a job that sleeps: ended by SIGTERM, 1 s before the kill", 2.0),
    ("computes", "a job in a loop of C code", 1.0),
    ("refuses", "a job that ignores SIGTERM and swallows exceptions", 1.0),
    ("spawns", "a job with three processes in other sessions that ignore SIGTERM", 10.0),
)
"""Job, what it is, and the grace period of its stop: seconds."""


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, the grace period that was given, what is promised, and what
    was seen; seconds.
    """

    name: str
    what: str
    grace: float | None
    promise: float
    seen: tuple[float, ...]

    def quantiles(self) -> tuple[float, float, float]:
        """p50, p99 and the longest."""
        ordered = sorted(self.seen)
        return (
            statistics.median(ordered),
            ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
            ordered[-1],
        )


class Bench:
    """A server with one worker, and files in which its jobs note when they began."""

    def __init__(self, folder: Path) -> None:
        self.server = LocalServer(folder, ["benchmarks.recovery_jobs"], path=[ROOT], workers=1)
        self._notes = 0

    def submit(self, client: Client, name: str) -> tuple[str, Path]:
        """A job, and the file that it will make."""
        self._notes += 1
        note = self.server.folder / f"note-{self._notes}"
        return client.submit(f"recovery.{name}", {"began": str(note)}).job_id, note

    def killed_worker(self) -> float:
        """From SIGKILL of a worker to the first line of the next job in its slot."""
        with Client(self.server.target) as client:
            _first, running = self.submit(client, "sleeps")
            _at, pid = began(running)
            _second, waiting = self.submit(client, "begins")
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            return began(waiting)[0] - killed

    def killed_server(self) -> float:
        """From SIGKILL of the server, started again at once, to the first line of the job that
        waited.
        """
        with Client(self.server.target) as client:
            _first, running = self.submit(client, "sleeps")
            began(running)
            _second, waiting = self.submit(client, "begins")
        killed = time.monotonic()
        self.server.kill()
        self.server.start()
        return began(waiting)[0] - killed

    def stop(self, name: str, grace: float) -> float:
        """From StopJob to its answer that the job is ABORTED and confirmed."""
        with Client(self.server.target) as client:
            job_id, running = self.submit(client, name)
            began(running)
            asked = time.monotonic()
            result = client.stop(job_id, grace_period=grace, wait_timeout=LIMIT)
            took = time.monotonic() - asked
        if result.job.stop is None or not result.job.stop.confirmed or str(result.job.status) != "ABORTED":
            raise AssertionError(f"the stop of {name} came to {result}")
        return took


def began(note: Path) -> tuple[float, int]:
    """When a job began, and in which process; waits for it."""
    deadline = time.monotonic() + LIMIT
    while not note.exists():
        if time.monotonic() > deadline:
            raise AssertionError(f"{note} was not written within {LIMIT:g} s")
        time.sleep(0.001)
    at, pid = note.read_text().split()
    return float(at), int(pid)


def measure(bench: Bench, rounds: int) -> Iterator[Row]:
    """All of it."""

    def repeated(once: Callable[[], float]) -> tuple[float, ...]:
        once()  # the first makes connections and imports
        return tuple(once() for _ in range(rounds))

    what = "SIGKILL of a worker, to the next job's code in its slot"
    yield Row("killed worker", what, None, 2.0, repeated(bench.killed_worker))
    what = "SIGKILL of the server and a start at once, to the first claimed job's code"
    yield Row("killed server", what, None, 5.0, repeated(bench.killed_server))
    for name, what, grace in STOPS:
        seen = repeated(lambda name=name, grace=grace: bench.stop(name, grace))  # type: ignore[misc] # mypy: defaults
        yield Row(name, f"StopJob to ABORTED, confirmed: {what}", grace, grace + 2, seen)


def table(rows: list[Row], load: float) -> str:
    """The rows for people, and where they were measured."""
    now = datetime.now(UTC)
    lines = [
        "| From … to … | Grace | Promised | p50 | p99 | max |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = " | ".join(f"{value:.3f} s" for value in row.quantiles())
        grace = "" if row.grace is None else f"{row.grace:g} s"
        lines.append(f"| {row.what} | {grace} | {row.promise:g} s | {cells} |")
    versions = ", ".join(f"{name} {version(name)}" for name in ("headrace", "grpcio", "SQLAlchemy"))
    where = (
        f"{len(rows[0].seen)} rounds each on {now:%Y-%m-%d}: {os.cpu_count()} cores ({platform.machine()}), Linux "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, {versions}; load average {load:.1f} before."
    )
    return "\n".join([*lines, "", where])


def write(text: str) -> None:
    """Put a table in its place."""
    page = PAGE.read_text()
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place for it: {BEGIN} and {END}")
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def main(rounds: int, *, written: bool) -> None:
    """Measure, show, and write when that is wanted."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        with bench.server:
            rows = list(measure(bench, rounds))
    text = table(rows, load)
    print(text)
    if written:
        write(text)
    print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    numbers = [word for word in sys.argv[1:] if word.isdigit()]
    main(int(numbers[0]) if numbers else ROUNDS, written="--write" in sys.argv[1:])
