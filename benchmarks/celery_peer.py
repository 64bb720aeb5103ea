"""Celery on RabbitMQ, as it is used when no task may be lost: durable queue, persistent messages, confirms; prefork.

It lives in an environment of its own, made for the run; celery_tasks is what runs there.
"""

import os
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "5.7.0"
TASKS = "benchmarks.celery_tasks"
ROOT = Path(__file__).parents[1]


class Celery:
    """An environment with celery, in a folder, and what is done with it. clock: where no-ops note their time."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.clock = folder / "clock"
        self._python = folder / "celery" / "bin" / "python"
        self._environment = {
            **os.environ,
            "BROKER": broker,
            "CLOCK": str(self.clock),
            "PYTHONPATH": str(ROOT),
        }
        venv.create(folder / "celery", with_pip=True)
        self._run("-m", "pip", "-qq", "install", f"celery=={VERSION}")

    def publish(self, count: int) -> None:
        """Send so many no-ops, each confirmed."""
        self._run("-m", TASKS, "publish", count)

    def latencies(self, count: int) -> list[float]:
        """Milliseconds until a no-op is known to be done, so many times, one after the other."""
        return [float(line) for line in self._run("-m", TASKS, "latencies", count).split()]

    def _run(self, *arguments: object) -> str:
        command = [self._python, *map(str, arguments)]
        return subprocess.run(
            command, env=self._environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    @contextmanager
    def worker(self, processes: int) -> Iterator[None]:
        """A prefork worker for the length of the block."""
        options = f"--pool prefork --concurrency {processes} --loglevel error"
        quiet = "--without-gossip --without-mingle --without-heartbeat"
        worker = subprocess.Popen(
            [self._python, "-m", "celery", "-A", TASKS, "worker", *options.split(), *quiet.split()],
            env={**self._environment, "C_FORCE_ROOT": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait()
