"""A running server whose database fails once, at any statement of the lives of its jobs.

The short form takes a sample of the statements, the long form takes each of them with each kind of
fault.
"""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from headrace import Client, JobHandle, RetryPolicy
from headrace.errors import InternalError, JobNotFound
from support import faults_rows
from support.checker import check_job, check_runs
from support.faults_server import DEATHS, KINDS, FaultyServer
from support.figures import LONG, seed
from support.history import statuses
from support.server import until

pytestmark = pytest.mark.slow

AT_ONCE = timedelta(0)
SAMPLE = 5
"""Faults of each kind in the short form."""
Answer = TypeVar("Answer")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    """A server of two workers."""
    server = FaultyServer(tmp_path, workers=2).start()
    try:
        yield server
    finally:
        server.close()


class Round:
    """The lives of some jobs, with everything that callers do, over at most one fault."""

    def __init__(self, server: FaultyServer, client: Client) -> None:
        self.server = server
        self.client = client
        self.log = server.folder / f"log-{uuid.uuid4().hex[:8]}"
        self.log.touch()

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """Call, as often as a caller would: an internal error is repeated once, anything else by
        the client.
        """
        try:
            return call()
        except InternalError:
            return call()

    def submit(self, kind: str, *, attempts: int = 1, **options: object) -> JobHandle:
        """Submit; repeated it is the same job."""
        request_id = uuid.uuid4().hex
        parameters = options.pop("parameters", {"log": str(self.log)})
        return self.ask(
            lambda: self.client.submit(
                kind,
                parameters,  # type: ignore[arg-type] # a dict
                request_id=request_id,
                retry_policy=RetryPolicy(max_attempts=attempts, initial_backoff=AT_ONCE),
                **options,  # type: ignore[arg-type] # as the caller says
            )
        )

    def live(self, *, lossless: bool) -> None:
        """Let them live, and check what has become of them; lossless: no death has cost an attempt."""
        gate = self.server.folder / f"gate-{uuid.uuid4().hex[:8]}"
        plain = self.submit("chaos.work")
        flaky = self.submit("chaos.work", attempts=4, parameters={"log": str(self.log), "good_from": 2})
        later = self.submit("chaos.work", run_after=timedelta(seconds=0.05), attempts=3)
        held = self.submit("chaos.work", hold=True)
        stopped = self.submit("chaos.work", parameters={"log": str(self.log), "gate": str(gate)})
        report = self.submit("test.report", parameters={})
        self.ask(lambda: held.update(description="mine", priority=3))
        self.ask(lambda: held.stop("not wanted"))
        until(
            lambda: self.ask(stopped.refresh).final or f"start {stopped.job_id}" in self.log.read_text(),
            "the job to be stopped has begun",
        )
        self.ask(lambda: stopped.stop("enough", wait_timeout=20))
        gone = self.submit("test.noop", parameters={}, hold=True)
        self.ask(gone.stop)
        with suppress(JobNotFound):  # Its first call was carried out, and not answered.
            self.ask(gone.delete)
        jobs = [plain, flaky, later, held, stopped, report]
        histories = {}
        for job in jobs:
            self.ask(partial(job.wait, 60))
            info, histories[job.job_id] = self.ask(partial(check_job, self.client, job.job_id))
            if lossless and job is not stopped and job is not held:
                assert info.status == "SUCCEEDED", f"{job.job_id}: {info.error}"
        for job in (held, stopped):
            assert statuses(histories[job.job_id])[-1] == "ABORTED" or not lossless
        with pytest.raises(JobNotFound):
            self.ask(gone.refresh)
        del histories[report.job_id]  # It writes no log.
        check_runs(self.log.read_text().splitlines(), histories)


@contextmanager
def revived(server: FaultyServer) -> Iterator[None]:
    """A server that dies within is started again."""
    over = threading.Event()

    def revive() -> None:
        while not over.wait(0.01):
            if server.process.poll() is not None:
                server.wait()
                server.start()

    reviver = threading.Thread(target=revive)
    reviver.start()
    try:
        yield
    finally:
        over.set()
        reviver.join()


def play(server: FaultyServer, at: int, kind: str) -> str:
    """One round with one fault; answer where it struck."""
    server.choose(at, kind)
    with revived(server), server.client(timeout=60, wait_for_ready=True) as client:
        round_ = Round(server, client)
        round_.live(lossless=kind not in DEATHS)
        held = round_.ask(lambda: list(client.list(statuses=["TO_BE_RUN", "RUNNING"])))
        assert not held, "a run is left"
    faults_rows.check(server.folder / "headrace.db", whole=False)
    return server.struck()


def test_a_fault_at_every_statement_of_a_server(server: FaultyServer) -> None:
    """A statement that fails once, or that the server dies of, loses no job, doubles none and tells
    no caller what is not so (failure case 1, 9, 10, 22).
    """
    play(server, 0, "none")
    points = server.counted()
    assert {"BEGIN IMMEDIATE", "COMMIT", "INSERT INTO job", "UPDATE job SET"} <= set(points)
    every = [(at, kind) for at in range(1, len(points) + 1) for kind in KINDS]
    chance = random.Random(seed())
    chosen = (
        every if LONG else [(chance.choice(range(1, len(points) + 1)), kind) for kind in [*KINDS] * SAMPLE]
    )
    struck: Counter[str] = Counter()
    began = time.monotonic()
    for first, kind in chosen:
        at = first
        print(f"{time.monotonic() - began:6.1f} s  statement {at} of {len(points)}: {kind}", flush=True)
        where = play(server, at, kind)
        while not (where or LONG):  # This round took fewer statements: more shared a commit.
            at = chance.randint(1, at)
            where = play(server, at, kind)
        print(f"          {where}")
        struck[kind] += bool(where)
    print(struck)
    assert all(struck[kind] >= len(chosen) // len(KINDS) // 2 for kind in KINDS), struck
