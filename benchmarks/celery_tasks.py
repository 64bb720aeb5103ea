"""What runs in celery's own environment: the application, and the verbs that celery_peer asks for."""

import os
import sys
import time
from pathlib import Path

from billiard import current_process
from celery import Celery

from benchmarks.clock import Clock

app = Celery("celery_tasks", broker=os.environ["BROKER"], backend="rpc://")
app.conf.broker_transport_options = {"confirm_publish": True}
clock = Clock(Path(os.environ["CLOCK"]))


@app.task(name="noop", ignore_result=True)
def noop() -> None:
    """Do nothing, but note the time."""
    clock.note(current_process().index)


@app.task(name="answer")
def answer() -> None:
    """Do nothing; that it is done is sent back."""


def publish(count: int) -> None:
    """Send no-ops."""
    for _ in range(count):
        noop.delay()


def latencies(count: int) -> None:
    """Send, wait until it is done, and print how many milliseconds that took."""
    for _ in range(count):
        began = time.perf_counter()
        answer.delay().get(timeout=60)
        print((time.perf_counter() - began) * 1000)


if __name__ == "__main__":
    {"publish": publish, "latencies": latencies}[sys.argv[1]](int(sys.argv[2]))
