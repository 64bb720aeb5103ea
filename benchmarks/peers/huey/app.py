"""Huey on SQLite, every commit synced."""

import time

from huey import SqliteHuey

from benchmarks.peers import commands

PAUSE = 0.001
huey = SqliteHuey("bench", filename=commands.SERVICE, fsync=True, timeout=60)


@huey.task()
def noop() -> bool:
    """Note the time, and have a result: None would not be kept."""
    commands.clock.note()
    return True


def run() -> None:
    """Submit, and poll for the result."""
    result = noop()
    while result.get() is None:
        time.sleep(PAUSE)


VERBS = {"submits": commands.submits(noop), "lone": commands.lone(run)}
