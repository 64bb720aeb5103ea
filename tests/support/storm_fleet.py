"""Several servers on one PostgreSQL in a storm: who dies, what it held, and how soon others had
that.
"""

import random
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import psycopg

from headrace import Client
from headrace.info import ErrorKind, JobEvent, StatusChange
from headrace_server.domain.job import Status
from support.checker_report import Report
from support.phases import CHOICE, Doomed, Phase
from support.server import until
from support.storm_killer import Field
from support.storm_kills import HELD, Held

MISSED = 10.0
"""Seconds in which a job of the highest priority comes to any moment of its life."""


class Several(Field):
    """Servers of one database.

    Clients are spread over them: some know one, some know all and begin with another.
    """

    def __init__(self, servers: Sequence[Doomed], rng: random.Random) -> None:
        self._servers = servers
        self._rng = rng
        self._clients = 0
        self._database = psycopg.connect(str(servers[0].settings["database_url"]), autocommit=True)

    def close(self) -> None:
        """Ask no more."""
        self._database.close()

    def client(self, **options: Any) -> Client:
        """A client of the next one, and every other time of the others too, in turn."""
        turn, all_of_them = divmod(self._clients, 2)
        self._clients += 1
        place = turn % len(self._servers)
        targets = [server.target for server in (*self._servers[place:], *self._servers[:place])]
        return Client("ipv4:" + ",".join(targets) if all_of_them else targets[0], **options)

    def any(self) -> Doomed:
        """One of them, at random."""
        return self._rng.choice(self._servers)

    def runner(self, job_id: str) -> Doomed:
        """The one that runs this job."""
        return until(lambda: self._runner(job_id), f"job {job_id} is run by a server that lives")  # type: ignore[no-any-return]

    def _runner(self, job_id: str) -> Doomed | None:
        row = self._database.execute("SELECT instance FROM job WHERE job_id = %s", (job_id,)).fetchone()
        assert row is not None
        return next((server for server in self._servers if _ours(row[0], server)), None)

    def choose(self, phase: Phase, description: str) -> None:
        """Let whoever comes to this moment of this job die."""
        for server in self._servers:
            server.choose(phase, description)

    def fallen(self) -> Doomed | None:
        """Wait for the one that has died of what was chosen, and spare the others.

        Where several claim, one of them may have begun its claim before the choice, and take the
        job at one go.
        """
        deadline = time.monotonic() + MISSED
        while not (dead := [server for server in self._servers if server.process.poll() is not None]):
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        for server in self._servers:
            (server.folder / CHOICE).unlink(missing_ok=True)
        for server in dead:
            assert server.wait() == -9
        return dead[0] if dead else None

    def held(self, dead: Doomed) -> list[Held]:
        """What it held."""
        found = [Held(*row) for row in self._database.execute(HELD)]
        return [job for job in found if _ours(job.instance, dead)]

    def absence(self) -> AbstractContextManager[object]:
        """The others are there."""
        return nullcontext()

    def rise(self, dead: Doomed) -> None:
        """Start it again, on its port."""
        dead.start()


def _ours(instance: str, server: Doomed) -> bool:
    return f"-{server.process.pid}-" in instance


def takeovers(deaths: Iterable[tuple[datetime, Sequence[Held]]], report: Report) -> list[float]:
    """From each death to the event that took each of its jobs over; seconds.

    Left out is what the dead had written itself before it died, and came to its end behind the
    look.
    """
    found = []
    for died, held in deaths:
        for job in held:
            later = [event for event in report.histories[job.job_id] if event.revision > job.revision]
            move = next((event for event in later if _moves(event)), None)
            if move is not None and move.event_time is not None and _taken_over(move):
                found.append((move.event_time - died).total_seconds())
    return sorted(found)


def _moves(event: JobEvent) -> bool:
    return isinstance(event.detail, StatusChange)


def _taken_over(event: JobEvent) -> bool:
    change = event.detail
    assert isinstance(change, StatusChange)
    if change.from_status == Status.TO_BE_RUN.name:
        return event.status == Status.QUEUED.name
    return change.error is not None and change.error.kind == ErrorKind.INSTANCE_LOST
