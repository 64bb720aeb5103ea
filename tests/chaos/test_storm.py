"""The server is killed again and again under load, at random and at chosen moments; then the
checker goes over everything.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from headrace.info import JobStatus
from support.checker_evidence import Evidence
from support.checker_report import Report
from support.figures import figure, guard, seed
from support.phases import Doomed
from support.storm import Storm
from support.storm_killer import EACH, Alone, Killer
from support.storm_kills import check_whole
from support.storm_load import run_load

pytestmark = pytest.mark.slow

JOBS = figure(500, 5000)
FIRST_CLAIM_SECONDS = 5.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Doomed]:
    """A server of four workers that waits for nobody when it is told to end."""
    server = Doomed(tmp_path, workers=4, drain_time=0.2).start()
    try:
        yield server
    finally:
        server.close()


def test_kill_storm(server: Doomed) -> None:
    """However often the server dies under load: what was answered is there, once, and every history
    is whole (failure cases 1, 22, 29).
    """
    chosen = seed()
    evidence = Evidence(server.folder / "log")
    field = Alone(server, evidence)
    storm = Storm(field, evidence, chosen, JOBS)
    killer = Killer(field, storm, evidence, random.Random(chosen))
    try:
        report = run_load(storm, killer, evidence, EACH)
        check_claims(field.starts, report)
    finally:
        storm.close()
    server.stop()
    with closing(sqlite3.connect(server.folder / "headrace.db")) as database:
        check_whole(database)


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
