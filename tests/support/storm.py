"""The clients of a kill storm: they submit, stop and watch while the server is killed, and go on when it is back."""

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace import Client
from headrace.errors import DeadlineExceeded, Unavailable
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.figures import figure
from support.follower import Follower
from support.phases import Doomed

JOBS = figure(500, 5000)
SUBMITTERS = 4
WATCHERS = figure(20, 200)
TICK = 0.02
STREAMS = 20
"""Watches on one connection."""
IMPATIENT = 0.5
"""Seconds: the timeout of a client that gives up and asks again itself."""
BEGIN = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job: how often it comes, what is submitted."""

    weight: int
    parameters: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    type: str = "chaos.work"
    options: dict[str, Any] = field(default_factory=dict)


KINDS = {
    "quick": Kind(8, type="chaos.quick"),
    "once": Kind(5),
    "thrice": Kind(4, attempts=3),
    "flaky": Kind(3, {"good_from": 2}, attempts=4),
    "raises": Kind(1, {"how": "raise"}),
    "fails": Kind(1, {"how": "fail"}),
    "aborts": Kind(1, {"how": "abort"}),
    "dies": Kind(1, {"how": "kill"}),
    "dies twice": Kind(1, {"how": "kill"}, attempts=2),
    "large": Kind(1, {"how": "large"}),
    "unserializable": Kind(1, {"how": "unserializable"}),
    "times out": Kind(1, type="chaos.timeout"),
    "unmade": Kind(1, type="chaos.unmade"),
    "expires": Kind(
        1,
        type="chaos.quick",
        options={"run_after": BEGIN + timedelta(days=1), "expire_time": BEGIN + timedelta(seconds=1)},
    ),
    "sleeper": Kind(2, {"how": "sleep"}, attempts=3),
}
"""The sleeper ends only when it is stopped, which its submitter does at once."""


class Storm:
    """Threads of clients, and what went wrong in them."""

    def __init__(self, server: Doomed, evidence: Evidence, seed: int) -> None:
        self.server = server
        self.evidence = evidence
        self.errors: list[BaseException] = []
        self._seed = seed
        self._over = threading.Event()
        self._opened = ExitStack()
        self._submitters = [self._thread(self._submit, number) for number in range(SUBMITTERS)]
        self._watchers = [self._thread(self._watch, 0)]

    def begin(self) -> None:
        """Let the clients loose."""
        for thread in self._submitters + self._watchers:
            thread.start()

    def submitted(self) -> None:
        """Wait until every submit was answered."""
        self._join(self._submitters)

    def watched(self) -> None:
        """Wait until the watchers have seen the ends of their jobs; raise what went wrong in any client."""
        self._over.set()
        self._join(self._watchers)

    def close(self) -> None:
        """End the clients."""
        self._over.set()
        self._opened.close()

    def witness(self, **options: Any) -> Witness:
        """A client that waits for a server that is away, unless told otherwise."""
        return Witness(self.evidence, self._client({"timeout": 60, "wait_for_ready": True, **options}))

    def _client(self, options: dict[str, Any]) -> Client:
        return self._opened.enter_context(self.server.client(**options))

    def _thread(self, work: Callable[[random.Random, int], None], number: int) -> threading.Thread:
        def run() -> None:
            try:
                work(random.Random(f"{self._seed} {work.__name__} {number}"), number)
            except BaseException as error:  # noqa: BLE001 - raised on the test's thread
                self.errors.append(error)

        return threading.Thread(target=run, daemon=True)

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(figure(60, 1200))
            assert not thread.is_alive(), "a client hangs"
        for error in self.errors:
            raise error

    def _submit(self, rng: random.Random, number: int) -> None:
        impatient = {"timeout": IMPATIENT, "wait_for_ready": False} if number == 0 else {}
        witness = self.witness(**impatient)
        for count in range(JOBS // SUBMITTERS):
            (name,) = rng.choices(list(KINDS), [kind.weight for kind in KINDS.values()])
            job_id = self._until_answered(witness, f"{number} {count} {name}")
            if rng.random() < 0.05:
                self._until_answered(witness, f"{number} {count} {name}")
            if name == "sleeper" or rng.random() < 0.1:
                grace, wait = rng.choice([0, 0.1, 1]), rng.choice([0, 0, 30])
                self._persist(lambda: witness.stop(job_id, grace=grace, wait=wait))  # noqa: B023 - called now

    def _until_answered(self, witness: Witness, request: str) -> str:
        return self._persist(lambda: self.submit(witness, request)).job_id  # type: ignore[no-any-return]

    def submit(self, witness: Witness, request: str) -> Any:
        """Submit what this request_id stands for: "SUBMITTER NUMBER KIND"."""
        kind = KINDS[request.split(maxsplit=2)[2]]
        return witness.submit(request, kind.type, kind.parameters, attempts=kind.attempts, **kind.options)

    def _persist(self, call: Callable[[], Any]) -> Any:
        """Ask until there is an answer, as a caller does who cannot know what became of the last call."""
        while True:
            try:
                return call()
            except (DeadlineExceeded, Unavailable):
                self._over.wait(TICK)

    def _watch(self, rng: random.Random, _number: int) -> None:
        """Keep so many watches open, each on a job that was submitted a moment ago, one more with each tick."""
        witnesses = [self.witness() for _ in range(0, WATCHERS, STREAMS)]
        open_ones: list[Follower] = []
        while not self._over.wait(TICK):
            for follower in [one for one in open_ones if one.over]:
                follower.updates()
                open_ones.remove(follower)
            recent = self.evidence.submits[-WATCHERS:]
            if recent and len(open_ones) < WATCHERS:
                open_ones.append(rng.choice(witnesses).follow(rng.choice(recent)[1]))
        for follower in open_ones:
            follower.updates()
