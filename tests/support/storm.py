"""The clients of a kill storm: they submit, stop and watch while the server is killed, and go on
when it is back.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from headrace import Client, JobHandle
from headrace.errors import DeadlineExceeded, Unavailable
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.figures import figure
from support.follower import Follower
from support.server import until

SUBMITTERS = 4
WATCHERS = figure(20, 200)
TICK = 0.02
LIMIT = figure(100, 1800)
STREAMS = 20
"""Watches on one connection, where there are more than so many for CONNECTIONS."""
CONNECTIONS = 6
"""Of watchers: each server of three has some of its own."""
IMPATIENT = 0.5
"""Seconds: the timeout of a client that gives up and asks again itself."""
PATIENT = {"timeout": 60, "wait_for_ready": True}
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


class Serving(Protocol):
    """A server, or several."""

    def client(self, **options: Any) -> Client:
        """A client of it."""
        ...


class Storm:
    """Threads of clients that submit so many jobs, and what went wrong in them."""

    def __init__(
        self,
        server: Serving,
        evidence: Evidence,
        seed: int,
        jobs: int,
        *,
        impatience: float = IMPATIENT,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self.server = server
        self.evidence = evidence
        self.jobs = jobs
        self.errors: list[BaseException] = []
        self.allowed = 0
        """How many jobs may be submitted by now: the storm is to last as long as the kills."""
        self._seed = seed
        self._impatience = impatience
        self._kinds = kinds
        self._over = threading.Event()
        self._opened = ExitStack()
        self._submitters: list[threading.Thread] = []
        self._watcher: list[threading.Thread] = []
        self._held: list[JobHandle] = []
        self._watches: list[Follower] = []

    def begin(self) -> None:
        """Let the clients loose: half of the watchers stay with jobs that are held until the
        submits are over.
        """
        witness = self.witness()
        for number in range(WATCHERS // 2):
            job = witness.submit(f"held {number}", "chaos.quick", hold=True)
            self._held.append(job)
            self._watches.append(witness.follow(job.job_id))
        self._submitters = [self.start(partial(self._submit, number)) for number in range(SUBMITTERS)]
        self._watcher = [self.start(self._watch)]

    def start(self, work: Callable[[], object]) -> threading.Thread:
        """Do something on a thread of its own; what goes wrong there is raised by join()."""

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised on the test's thread
                self.errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def join(self, threads: Sequence[threading.Thread]) -> None:
        """Wait for threads; raise what went wrong in any."""
        until(lambda: self.errors or not any(thread.is_alive() for thread in threads), "clients end", LIMIT)
        for error in self.errors:
            raise error

    def submitted(self) -> None:
        """Wait until every submit was answered, then release what was held."""
        self.join(self._submitters)
        for job in self._held:
            job.release()

    def watched(self) -> None:
        """Wait until the watchers have seen the ends of their jobs."""
        self._over.set()
        self.join(self._watcher)
        for follower in self._watches:
            follower.updates()

    def close(self) -> None:
        """End the clients."""
        self._over.set()
        self._opened.close()

    def witness(self, **options: Any) -> Witness:
        """A client that waits for a server that is away, unless told otherwise."""
        return Witness(self.evidence, self._client({**PATIENT, **options}))

    def client_of(self, server: Serving) -> Client:
        """A client of this one, that waits for it when it is away."""
        return self._opened.enter_context(server.client(**PATIENT))

    def _client(self, options: dict[str, Any]) -> Client:
        return self._opened.enter_context(self.server.client(**options))

    def _submit(self, number: int) -> None:
        rng = random.Random(f"{self._seed} submitter {number}")
        impatient = {"timeout": self._impatience, "wait_for_ready": False} if number == 0 else {}
        witness = self.witness(**impatient)
        for count in range(self.jobs // SUBMITTERS):
            while count * SUBMITTERS >= self.allowed and not self._over.wait(TICK):
                pass
            (name,) = rng.choices(list(self._kinds), [kind.weight for kind in self._kinds.values()])
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
        kind = self._kinds[request.split(maxsplit=2)[2]]
        return witness.submit(request, kind.type, kind.parameters, attempts=kind.attempts, **kind.options)

    def _persist(self, call: Callable[[], Any]) -> Any:
        """Ask until there is an answer, as a caller does who cannot know what became of the last
        call.
        """
        while True:
            try:
                return call()
            except (DeadlineExceeded, Unavailable):
                self._over.wait(TICK)

    def _watch(self) -> None:
        """Keep as many watches open, each on a job that was submitted a moment ago, one more with
        each tick.
        """
        rng = random.Random(f"{self._seed} watcher")
        witnesses = [self.witness() for _ in range(max(CONNECTIONS, WATCHERS // STREAMS))]
        while not self._over.wait(TICK):
            for follower in [one for one in self._watches if one.over]:
                follower.updates()
                self._watches.remove(follower)
            recent = self.evidence.submits[-WATCHERS:]
            if len(self._watches) < WATCHERS:
                self._watches.append(rng.choice(witnesses).follow(rng.choice(recent)[1]))
