"""The server is killed again and again under load; then the checker goes over everything."""

import os
import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, JobHandle, RetryPolicy
from headrace.info import JobEvent, StopResult
from support.follower import Follower
from support.history import check_job, check_runs, check_watch
from support.phases import Doomed
from support.server import until

pytestmark = pytest.mark.slow

KILLS = 4
SUBMITTERS = 4
WATCHERS = 10
JOBS = 320
PAUSE = 0.01
AT_ONCE = timedelta(0)
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "quick": ("chaos.quick", {}, 1),
    "once": ("chaos.work", {}, 1),
    "thrice": ("chaos.work", {}, 3),
    "flaky": ("chaos.work", {"good_from": 2}, 4),
    "dies": ("chaos.work", {"how": "die"}, 1),
    "dies twice": ("chaos.work", {"how": "die"}, 2),
    "sleeper": ("chaos.work", {"how": "sleep"}, 3),
}
WEIGHTS = [8, 4, 4, 3, 1, 1, 2]


class Storm:
    """The clients, and what they were answered."""

    def __init__(self, server: Doomed, seed: int) -> None:
        self.server = server
        self.seed = seed
        self.log = server.folder / "log"
        self.answers: dict[str, str] = {}
        self.stops: list[StopResult] = []
        self.followed: dict[str, Follower] = {}
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guard, args=(self._submit, number)) for number in range(SUBMITTERS)
        ] + [threading.Thread(target=self._guard, args=(self._watch, number)) for number in range(WATCHERS)]

    def begin(self) -> None:
        """Let the clients loose."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let them end, and raise what went wrong."""
        self.over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        for error in self.errors:
            raise error

    def client(self) -> Client:
        """A client that waits for a server that is away."""
        return self.server.client(timeout=60, wait_for_ready=True)

    def submit(self, client: Client, request: str) -> JobHandle:
        """Submit what this request_id stands for: "THREAD NUMBER KIND"."""
        kind, parameters, attempts = KINDS[request.split(maxsplit=2)[2]]
        return client.submit(
            kind,
            {"log": str(self.log), **parameters},
            request_id=request,
            description=request,
            retry=RetryPolicy(max_attempts=attempts, initial_backoff=AT_ONCE),
        )

    def _guard(self, target: Any, number: int) -> None:
        try:
            target(random.Random(f"{self.seed} {target.__name__} {number}"), number)
        except BaseException as error:  # noqa: BLE001 - raised on the test's thread
            self.errors.append(error)

    def _submit(self, rng: random.Random, number: int) -> None:
        with self.client() as client:
            for count in range(JOBS // SUBMITTERS):
                (kind,) = rng.choices(list(KINDS), WEIGHTS)
                request = f"{number} {count} {kind}"
                job = self.submit(client, request)
                self.answers[request] = job.job_id
                if kind == "sleeper" or rng.random() < 0.1:
                    wait = rng.choice([0, 30])
                    self.stops.append(job.stop(grace_period=rng.choice([0, 0.1, 1]), wait_timeout=wait))

    def _watch(self, rng: random.Random, number: int) -> None:
        with self.client() as client:
            mine: set[str] = set()
            while not self.over.is_set():
                job_id = rng.choice(list(self.answers.values())[-10:] or [""])
                if not job_id or job_id in mine:
                    self.over.wait(PAUSE)
                    continue
                mine.add(job_id)
                follower = Follower(client.watch(job_id, include_messages=True))
                self.followed[f"{job_id} {number}"] = follower
                follower.updates()


def look_inside(folder: Path, kill: int) -> Counter[int]:
    """Copy the files of a dead server's database, check them, and count the jobs by status."""
    copy = folder / f"copy-{kill}"
    copy.mkdir()
    for name in ("headrace.db", "headrace.db-wal"):
        if (folder / name).exists():
            shutil.copy(folder / name, copy)
    with closing(sqlite3.connect(copy / "headrace.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = Counter(dict(database.execute("SELECT status, count(*) FROM job GROUP BY status").fetchall()))
    shutil.rmtree(copy)
    return found


def test_kill_storm(tmp_path: Path) -> None:
    """Four kills under load: what was answered is there, once, and every history is whole (failure cases 1, 22)."""
    seed = int(os.environ.get("HEADRACE_SEED") or random.randrange(10**9))
    print(f"HEADRACE_SEED={seed}")
    rng = random.Random(seed)
    server = Doomed(tmp_path, workers=3).start()
    storm = Storm(server, seed)
    storm.log.touch()
    try:
        storm.begin()
        for kill in range(KILLS):
            enough = min(len(storm.answers) + rng.randint(20, JOBS // (KILLS + 1)), JOBS - 10)
            until(lambda enough=enough: len(storm.answers) >= enough or storm.errors, "submits are answered")
            time.sleep(rng.uniform(0, 0.02))  # at a random moment of what goes on
            server.kill()
            print(f"kill {kill + 1}: {len(storm.answers)} answered, by status {look_inside(tmp_path, kill)}")
            server.start()
        until(lambda: len(storm.answers) == JOBS or storm.errors, "every submit is answered")
        check_all(storm)
    finally:
        storm.over.set()
        server.close()
    with closing(sqlite3.connect(tmp_path / "headrace.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


def check_all(storm: Storm) -> None:
    """Wait for every end, then check every promise."""
    histories: dict[str, list[JobEvent]] = {}
    with storm.client() as client:
        for job_id in storm.answers.values():
            client.wait(job_id, 60)
        storm.end()
        jobs = {}
        for job_id in storm.answers.values():
            jobs[job_id], histories[job_id] = check_job(client, job_id)
        # One request_id, one job; nothing but what was answered.
        assert {job.job_id: job.spec.description for job in client.list()} == {
            job_id: request for request, job_id in storm.answers.items()
        }
        for request, job_id in storm.answers.items():
            again = storm.submit(client, request)
            assert (again.job_id, again.existing) == (job_id, True)
    check_runs(storm.log.read_text().splitlines(), histories)
    for result in storm.stops:
        job = jobs[result.job.job_id]
        assert not result.job.final or result.job == job, f"the stop answered otherwise than {job}"
        assert result.outcome != "STOPPED" or job.status == "ABORTED"
    for key, follower in storm.followed.items():
        check_watch(follower.updates(), histories[key.split()[0]])
    assert len(storm.followed) >= WATCHERS
    by_kind = Counter(
        (request.split(maxsplit=2)[2], str(jobs[job_id].status)) for request, job_id in storm.answers.items()
    )
    print(f"{len(storm.followed)} watches, {len(storm.stops)} stops", *sorted(by_kind.items()), sep="\n")
