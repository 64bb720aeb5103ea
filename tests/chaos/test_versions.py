"""This version and the next serve one PostgreSQL side by side: the next one stores more of
everything, and loses nothing of it.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from headrace.info import ErrorKind, EventKind
from support.checker_evidence import Evidence
from support.figures import figure, seed
from support.fleet import fleet
from support.next_version.records import RECORDS
from support.next_version.rows import MORE, RAW
from support.phases import Doomed
from support.storm import Kind, Storm
from support.storm_fleet import Several
from support.storm_load import settle

pytestmark = [pytest.mark.deep, pytest.mark.timeout(figure(300, 7200))]

JOBS = figure(300, 10_000)
KINDS = {
    "quick": Kind(2, type="chaos.quick"),
    "flaky": Kind(3, {"good_from": 3}, attempts=4),
    "reports": Kind(3, {"how": "progress"}, attempts=2),
    "dies twice": Kind(1, {"how": "kill"}, attempts=2),
    "fails": Kind(1, {"how": "fail"}),
    "unmade": Kind(2, type="chaos.unmade"),
    "sleeper": Kind(2, {"how": "sleep"}, attempts=3),
}
NEXT = (sys.executable, "-m", "support.next_version", "")


@pytest.fixture
def servers(tmp_path: Path, shared_url: str) -> Iterator[list[Doomed]]:
    """One of this version and one of the next."""
    with fleet(tmp_path, shared_url) as made:
        yield [made.start("now", Doomed, workers=2), made.start("next", Doomed, workers=2, command=NEXT)]  # type: ignore[misc] # as asked


def test_two_versions_in_a_storm(
    servers: list[Doomed], shared_url: str, tmp_path: Path, announce: Callable[[str, str], None]
) -> None:
    """Jobs go from one to the other by retries and stops: none is lost, no call fails, and what
    only the next one knows stays to the letter.
    """
    chosen = seed()
    evidence = Evidence(tmp_path / "log")
    with closing(Several(servers, random.Random(f"{chosen} clients"))) as field:
        storm = Storm(field, evidence, chosen, JOBS, kinds=KINDS)
        storm.allowed = JOBS
        try:
            storm.begin()
            storm.submitted()
            report = settle(storm, evidence)
        finally:
            storm.close()
    assert not report.lost
    assert report.by_error()[ErrorKind.UNKNOWN] >= 1
    kinds = Counter(event.kind for events in report.histories.values() for event in events)
    assert min(kinds[EventKind.UNKNOWN], kinds[EventKind.RESULT_SET]) >= figure(5, 500)
    theirs = f"-{servers[1].process.pid}-"
    with psycopg.connect(shared_url, row_factory=dict_row) as database:
        kept = sum((found(row, events, theirs) for row, events in stored(database)), Counter[str]())
        abouts = {row["instance"]: row["about"] for row in database.execute("SELECT * FROM instance")}
    announce("two versions", f"{len(report.jobs)} jobs; records of the next version, all kept: {dict(kept)}")
    assert set(kept) == {*RECORDS, "errors of attempts", "attempts that went on here"}
    assert {theirs in name: RAW in about for name, about in abouts.items()} == {True: True, False: False}


def stored(database: psycopg.Connection[Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each job's row, and its events."""
    history: dict[str, list[dict[str, Any]]] = {}
    for event in database.execute("SELECT * FROM job_event ORDER BY job_id, revision"):
        history.setdefault(event["job_id"], []).append(event)
    for row in database.execute("SELECT * FROM job"):
        yield row, history[row["job_id"]]


def found(row: dict[str, Any], events: list[dict[str, Any]], theirs: str) -> Counter[str]:
    """The records of a job that the next version has written, by what they are; each must be as it
    wrote it.
    """
    by_next = [(event, all(one in json.loads(event["body"] or "{}") for one in MORE)) for event in events]
    kept: Counter[str] = Counter()

    def whole(name: str, text: str) -> None:
        assert RAW in text, f"{name} of {row['job_id']} has lost what the next version wrote: {text}"
        kept[name] += 1

    last, last_is_theirs = by_next[-1]
    if row["error"] and last_is_theirs and last["kind"] == 2:
        whole("error", row["error"])
    if any(event["kind"] == 5 for event, is_theirs in by_next if is_theirs):
        whole("stop", row["stop"])
    attempts = json.loads(row["attempts"] or "[]")
    if attempts and theirs in attempts[-1]["instance"] and row["progress"]:
        whole("progress", row["progress"])
    if row["retry"] and RAW in row["retry"]:
        whole("retry", row["retry"])
    records = [*attempts, *(attempt["error"] for attempt in attempts if "error" in attempt)]
    with_more = [record for record in records if record.keys() >= MORE.keys()]
    assert (row["attempts"] or "").count(RAW) == len(with_more), row["attempts"]
    for attempt in attempts:
        if theirs in attempt["instance"]:
            assert attempt in with_more, (
                f"attempt {attempt} of {row['job_id']} has lost what the next version wrote"
            )
            kept["attempts"] += 1
            if "error" in attempt:
                assert attempt["error"] in with_more, f"so has its error, of {row['job_id']}: {attempt}"
                kept["errors of attempts"] += 1
            if not last_is_theirs:
                kept["attempts that went on here"] += 1
    return kept
