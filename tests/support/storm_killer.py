"""Who kills in a kill storm: one server that is alone, or one of several on a database."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

from headrace import Client
from headrace.errors import WrongStatus
from support import checker_journal
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.figures import figure
from support.follower import Follower
from support.phases import Doomed, Phase
from support.server import until
from support.storm import Storm
from support.storm_kills import Held, held_in, moments

CHOSEN = (Phase.STORED, Phase.CLAIMED, Phase.PERMITTED, Phase.FINISHING, Phase.STOPPING)
EACH = figure(1, 10)
"""Kills at each chosen moment, so many at random moments again, and so many drains."""
DRAINED = 3
"""Jobs that a drain meets and has to end."""
FIRST = 1000
"""The priority of a job that is to run before all others."""


class Field(ABC):
    """The servers of a storm, as the killer needs them."""

    @abstractmethod
    def client(self, **options: Any) -> Client:
        """A client of any."""

    @abstractmethod
    def any(self) -> Doomed:
        """One of them."""

    @abstractmethod
    def runner(self, job_id: str) -> Doomed:
        """The one that runs this job."""

    @abstractmethod
    def choose(self, phase: Phase, description: str) -> None:
        """Let whoever comes to this moment of this job die."""

    @abstractmethod
    def fallen(self) -> Doomed | None:
        """Wait for the one that has died of what was chosen; None when the moment has passed
        everybody by.
        """

    @abstractmethod
    def held(self, dead: Doomed) -> list[Held]:
        """What a server that has just died held."""

    @abstractmethod
    def absence(self) -> AbstractContextManager[object]:
        """Around the time in which one is away."""

    @abstractmethod
    def rise(self, dead: Doomed) -> None:
        """Start it again."""


class Alone(Field):
    """One server on a file of its own."""

    def __init__(self, server: Doomed, evidence: Evidence) -> None:
        self._server = server
        self._evidence = evidence
        self.starts: list[datetime] = []

    def client(self, **options: Any) -> Client:
        """A client of it."""
        return self._server.client(**options)

    def any(self) -> Doomed:
        """It."""
        return self._server

    def runner(self, job_id: str) -> Doomed:  # noqa: ARG002 - there is no other
        """It."""
        return self._server

    def choose(self, phase: Phase, description: str) -> None:
        """Let it die then."""
        self._server.choose(phase, description)

    def fallen(self) -> Doomed:
        """It, dead."""
        assert self._server.wait() == -9
        return self._server

    def held(self, dead: Doomed) -> list[Held]:
        """What it held; its file is whole."""
        return held_in(dead.folder)

    def absence(self) -> AbstractContextManager[object]:
        """Then there is no server."""
        return self._evidence.away()

    def rise(self, dead: Doomed) -> None:
        """Start it, and note when."""
        self.starts.append(datetime.now(UTC))
        dead.start()


class Killer:
    """Kills a server, finds out what that has hit, and starts it again."""

    def __init__(self, field: Field, storm: Storm, evidence: Evidence, rng: random.Random) -> None:
        self.field = field
        self.storm = storm
        self.evidence = evidence
        self.rng = rng
        self.witness = storm.witness()
        self.deaths: list[tuple[datetime, list[Held]]] = []
        """When a server was killed, and what it held."""
        self._count = 0
        self._calls: list[threading.Thread] = []
        self._followers: list[Follower] = []

    def plans(self, each: int = EACH) -> list[Phase | str]:
        """What to do, in random order: so often each."""
        plans: list[Phase | str] = [*CHOSEN, "random", "drain"] * each
        self.rng.shuffle(plans)
        return plans

    def apply(self, plan: Phase | str) -> None:
        """Kill once, with a job that runs and is watched; a drain ends several."""
        self._count += 1
        sleepers = [self._sleeper(number) for number in range(DRAINED if plan == "drain" else 1)]
        self._followers.append(self.witness.follow(sleepers[0]))
        self._followers[-1].open()
        if plan == "drain":
            server = self.field.runner(sleepers[0])
            assert server.stop() == 0
            with self.field.absence():
                self.field.rise(server)
        else:
            server = self._kill(plan, sleepers[0])
            with self.field.absence():
                died = datetime.now(UTC)
                held = self.field.held(server)
                self.deaths.append((died, held))
                hit = moments(held, self.evidence.open_calls(server.target), self.evidence)
                self.evidence.kills.update(map(str, hit))
                print(
                    f"{self._count}. {plan}: {', '.join(sorted(hit))}; {len(self.evidence.submits)} answered"
                )
                self.field.rise(server)
        self._stop_what_is_left(sleepers)

    def end(self) -> None:
        """Wait until the calls and watches that kills have cut off have come to their ends."""
        self.storm.join(self._calls)
        for follower in self._followers:
            follower.updates()

    def _kill(self, plan: Phase | str, sleeper: str) -> Doomed:
        if isinstance(plan, Phase):
            for number in count(1):
                self._choose(plan, f"doomed {number} of kill {self._count}")
                if (fallen := self.field.fallen()) is not None:
                    return fallen
                print(f"{self._count}. {plan}: missed")
        server = self.field.runner(sleeper)
        time.sleep(self.rng.uniform(0, 0.02))  # at a random moment of what goes on
        server.kill()
        return server

    def _sleeper(self, number: int) -> str:
        """A job that runs until its server is gone, or it is stopped."""
        request = f"sleeper {number} of kill {self._count}"
        job = self.witness.submit(request, parameters={"how": "sleep"}, priority=FIRST)
        until(lambda: checker_journal.starts(self.evidence.log, job.job_id), f"{request} runs")
        return job.job_id

    def _stop_what_is_left(self, sleepers: list[str]) -> None:
        """Those that ran elsewhere."""
        for job_id in sleepers:
            if not self.witness.client.get(job_id).final:
                self._call(lambda job_id=job_id: self.witness.stop(job_id, grace=0))  # type: ignore[misc] # mypy knows no defaults of lambdas

    def _choose(self, phase: Phase, request: str) -> None:
        """Have a server die with a job of its own; the call that leads there is answered in the
        next life.
        """
        # A witness of one server: what is under way to it when it dies is known.
        witness = Witness(self.evidence, self.storm.client_of(self.field.any()))
        if phase is Phase.STOPPING:
            never = {"gate": str(self.evidence.log.with_name("never"))}
            job = witness.submit(request, parameters=never, attempts=2, priority=FIRST)
            until(lambda: checker_journal.starts(self.evidence.log, job.job_id), f"{request} runs")
            self.field.choose(phase, request)
            self._call(lambda: witness.stop(job.job_id, reason=request, grace=1))
            return
        self.field.choose(phase, request)
        if phase is Phase.STORED:
            self._call(lambda: witness.submit(request, attempts=2))
        else:  # the submit is answered behind every claim that had not heard of the choice
            job = witness.submit(request, attempts=2, hold=True, priority=FIRST)
            self._call(job.release)

    def _call(self, call: Callable[[], object]) -> None:
        def make() -> None:
            with suppress(WrongStatus):  # repeated by the client, it may come when the job has ended
                call()

        self._calls.append(self.storm.start(make))
