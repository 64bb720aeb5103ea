"""The server is killed again and again under load, at random and at chosen moments; then the checker goes over everything."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.errors import WrongStatus
from headrace.info import ErrorKind, JobStatus
from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_report import Report
from support.figures import figure, guard, seed
from support.follower import Follower
from support.history import FINAL
from support.phases import Doomed, Phase
from support.server import until
from support.storm import JOBS, Storm
from support.storm_kills import Moment, check_whole, moments

pytestmark = pytest.mark.slow

CHOSEN = (Phase.STORED, Phase.CLAIMED, Phase.PERMITTED, Phase.FINISHING, Phase.STOPPING)
EACH = figure(1, 10)
"""Kills at each chosen moment, so many at random moments again, and so many drains."""
DRAINED = 3
"""Jobs that a drain meets and has to end."""
FIRST_CLAIM_SECONDS = 5.0
FIRST = 1000
"""The priority of a job that is to run before all others."""


class Killer:
    """Kills the server, finds out what that has hit, and starts it again."""

    def __init__(self, server: Doomed, storm: Storm, evidence: Evidence, rng: random.Random) -> None:
        self.server = server
        self.storm = storm
        self.evidence = evidence
        self.rng = rng
        self.witness = storm.witness()
        self.starts: list[datetime] = []
        self._count = 0
        self._calls: list[threading.Thread] = []
        self._followers: list[Follower] = []

    def plans(self) -> list[Phase | str]:
        """What to do, in random order."""
        plans: list[Phase | str] = [*CHOSEN, "random", "drain"] * EACH
        self.rng.shuffle(plans)
        return plans

    def carry_out(self, plan: Phase | str) -> None:
        """Kill once, with a job that runs and is watched; a drain ends several."""
        self._count += 1
        sleepers = [self._sleeper(number) for number in range(DRAINED if plan == "drain" else 1)]
        self._followers.append(self.witness.follow(sleepers[0]))
        self._followers[-1].open()
        if plan == "drain":
            assert self.server.stop() == 0
            with self.evidence.away():
                self._start()
            return
        if isinstance(plan, Phase):
            self._choose(plan)
            assert self.server.wait() == -9
        else:
            time.sleep(self.rng.uniform(0, 0.02))  # at a random moment of what goes on
            self.server.kill()
        with self.evidence.away():
            hit = moments(self.server.folder, self.evidence)
            self.evidence.kills.update(map(str, hit))
            print(f"{self._count}. {plan}: {', '.join(sorted(hit))}; {len(self.evidence.submits)} answered")
            self._start()

    def end(self) -> None:
        """Wait until the calls and watches that kills have cut off have come to their ends."""
        self.storm.join(self._calls)
        for follower in self._followers:
            follower.updates()

    def _start(self) -> None:
        self.starts.append(datetime.now(UTC))
        self.server.start()

    def _sleeper(self, number: int) -> str:
        """A job that runs until the server is gone."""
        request = f"sleeper {number} of kill {self._count}"
        job = self.witness.submit(request, parameters={"how": "sleep"}, priority=FIRST)
        until(lambda: checker_journal.starts(self.evidence.log, job.job_id), f"{request} runs")
        return job.job_id

    def _choose(self, phase: Phase) -> None:
        """Have the server die with a job of its own; the call that leads there is answered in the next life."""
        request = f"doomed {self._count}"
        if phase is Phase.STOPPING:
            never = {"gate": str(self.server.folder / "never")}
            job = self.witness.submit(request, parameters=never, attempts=2, priority=FIRST)
            until(lambda: checker_journal.starts(self.evidence.log, job.job_id), f"{request} runs")
            self.server.choose(phase, request)
            self._call(lambda: self.witness.stop(job.job_id, reason=request, grace=1))
            return
        self.server.choose(phase, request)
        if phase is Phase.STORED:
            self._call(lambda: self.witness.submit(request, attempts=2))
        else:  # the submit is answered behind every claim that had not heard of the choice
            job = self.witness.submit(request, attempts=2, hold=True, priority=FIRST)
            self._call(job.queue)

    def _call(self, call: Callable[[], object]) -> None:
        def make() -> None:
            with suppress(WrongStatus):  # repeated by the client, it may come when the job has ended
                call()

        self._calls.append(self.storm.start(make))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Doomed]:
    """A server of four workers that waits for nobody when it is told to end."""
    server = Doomed(tmp_path, workers=4, drain_time=0.2).start()
    try:
        yield server
    finally:
        server.close()


def test_kill_storm(server: Doomed) -> None:
    """However often the server dies under load: what was answered is there, once, and every history is whole (failure cases 1, 22, 29)."""
    chosen = seed()
    evidence = Evidence(server.folder / "log")
    storm = Storm(server, evidence, chosen)
    killer = Killer(server, storm, evidence, random.Random(chosen))
    try:
        report = rage(storm, killer, evidence)
        check_claims(killer.starts, report)
    finally:
        storm.close()
    server.stop()
    with closing(sqlite3.connect(server.folder / "headrace.db")) as database:
        check_whole(database)


def rage(storm: Storm, killer: Killer, evidence: Evidence) -> Report:
    """Kill the server while its clients submit; then let everything end, and check it."""
    plans = killer.plans()
    storm.begin()
    for number, plan in enumerate(plans, 1):
        enough = JOBS * number // (len(plans) + 1)
        storm.allowed = JOBS * (number + 1) // (len(plans) + 1)
        until(
            lambda enough=enough: len(evidence.submits) >= enough or storm.errors, "submits are answered", 300
        )
        killer.carry_out(plan)
    storm.submitted()
    killer.end()
    return check(storm, evidence)


def check(storm: Storm, evidence: Evidence) -> Report:
    """Wait for every end, ask for every job once more, then check every promise and that the storm was one."""
    witness = storm.witness()
    for job_id in evidence.job_ids():
        witness.wait(job_id, figure(60, 600))
    for request in dict(evidence.submits):
        if request[0].isdigit():
            assert storm.submit(witness, request).existing
    storm.watched()
    report = judge(evidence, witness.client)
    assert {job.job_id for job in witness.client.list(page_size=1000)} == set(report.jobs)
    assert len(evidence.watches) >= figure(20, 200)
    for moment in Moment:
        assert evidence.kills[moment] >= EACH, f"{moment}: hit by {evidence.kills[moment]} kills"
    for status in FINAL:
        assert report.by_status()[status] >= figure(1, 100), status
    for kind in set(ErrorKind) - {ErrorKind.UNKNOWN}:
        assert report.by_error()[kind] >= figure(1, 20), kind
    return report


def check_claims(starts: list[datetime], report: Report) -> None:
    """After each start the first claim comes in time."""
    claims = sorted(
        event.event_time
        for events in report.histories.values()
        for event in events
        if event.status == JobStatus.TO_BE_RUN and event.event_time is not None
    )
    waits = [(next(claim for claim in claims if claim > start) - start).total_seconds() for start in starts]
    print(f"first claim after {', '.join(f'{wait:.1f}' for wait in waits)} s")
    assert max(waits) <= guard(FIRST_CLAIM_SECONDS)
