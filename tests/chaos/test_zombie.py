"""An instance is stopped past its lease, others take its jobs over, and then it goes on as if
nothing had been.

zombie   runs A and B ──┐ SIGSTOP                              SIGCONT ├─ writes A's end: refused; then ends its runs,
child A                 └─ ends, which nobody hears                    │  and is another instance from then on
child B                 └─ killed by the supervisor, before …
other                                           … the lease is over: A and B run again ─────────> A and B end
"""

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.figures import figure, guard, seed
from support.fleet import LEASE, Fleet, fleet
from support.server import Server, until
from support.writers import stale_writes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(180, 7200))]

ROUNDS = figure(5, 200)
WORKERS = 2
JOBS = "support.jobs,support.chaos_jobs"


@pytest.fixture
def servers(tmp_path: Path, shared_url: str) -> Iterator[Fleet]:
    """A server that will be stopped, and another."""
    with fleet(tmp_path, shared_url) as made:
        for name in ("zombie", "other"):
            made.start(name, workers=WORKERS, jobs=JOBS)
        yield made


class Stage:
    """Two servers, a client of the one that stays, and what it sees."""

    def __init__(self, servers: Fleet, folder: Path) -> None:
        self.zombie, self.other = servers.servers["zombie"], servers.servers["other"]
        self.evidence = Evidence(folder / "log", takeover=1.5 * LEASE)
        self.client = self.other.client(timeout=60)
        self.witness = Witness(self.evidence, self.client)
        self.refused = 0
        """Writes of replaced runs that the log tells of."""
        self._folder = folder
        self._database = psycopg.connect(servers.url, autocommit=True)
        self._count = 0

    def close(self) -> None:
        """Ask no more."""
        self.client.close()
        self._database.close()

    def gate(self, job_id: str) -> Path:
        """What a job waits for."""
        return self._folder / self.client.get(job_id).spec.description

    def open_gates(self, *job_ids: str) -> None:
        """Let jobs end."""
        for job_id in job_ids:
            self.gate(job_id).touch()

    def fill(self) -> tuple[list[str], list[str]]:
        """Have every slot run a job; those of the zombie, and those of the other."""
        made = []
        for _ in range(2 * WORKERS):
            self._count += 1
            name = f"gate-{self._count}"
            parameters = {"gate": str(self._folder / name), "deaf": True}
            made.append(self.witness.submit(name, parameters=parameters, attempts=2).job_id)
        for job_id in made:
            self.began(job_id, 1)
        place = f"-{self.zombie.process.pid}-"
        here = [job_id for job_id in made if place in self.instance(job_id)]
        assert len(here) == WORKERS
        return here, [job_id for job_id in made if job_id not in here]

    def began(self, job_id: str, *attempts: int) -> None:
        """Wait until the code of a job has begun with these attempts."""
        log = self.evidence.log
        until(lambda: checker_journal.starts(log, job_id) == list(attempts), f"attempts {attempts} began")

    def instance(self, job_id: str) -> str:
        """Who holds a job."""
        row = self._database.execute("SELECT instance FROM job WHERE job_id = %s", (job_id,)).fetchone()
        assert row is not None
        return str(row[0])

    def lives(self) -> int:
        """How often the zombie has come back to life."""
        return len(self.zombie.logged("this instance is alive again"))

    def refusals(self, job_id: str) -> int:
        """How many writes of this job the zombie's log says were refused."""
        return sum(entry.get("job_id") == job_id for entry in self.zombie.logged("run replaced"))

    def ended(self, *job_ids: str) -> None:
        """Wait until jobs have ended well."""
        for job_id in job_ids:
            assert self.witness.wait(job_id).status == "SUCCEEDED"


@pytest.fixture
def stage(servers: Fleet, tmp_path: Path) -> Iterator[Stage]:
    """The stage of a test."""
    stage = Stage(servers, tmp_path)
    yield stage
    stage.close()


def test_stopped_server(stage: Stage, servers: Fleet, announce: Callable[[str, str], None]) -> None:
    """A server that was stopped past its lease writes nothing for the runs that others have taken
    over, and lives again (failure case 17).
    """
    zombie = stage.zombie
    for _ in range(ROUNDS):
        (heard, killed), others = stage.fill()
        lives = stage.lives()
        zombie.process.send_signal(signal.SIGSTOP)
        stage.open_gates(heard, *others)  # its end waits in a socket that nobody reads
        stage.ended(*others)
        stage.began(killed, 1, 2)  # and not beside the first attempt, says the checker
        stage.ended(heard)
        zombie.process.send_signal(signal.SIGCONT)
        until(lambda: stage.refusals(heard), "the end of its run is refused", guard(10))  # noqa: B023 - at once
        until(lambda: stage.lives() > lives, "it lives again", guard(10))  # noqa: B023 - at once
        stage.open_gates(killed)
        stage.ended(killed)
        stage.refused += stage.refusals(heard) + stage.refusals(killed)
    again, others = stage.fill()  # the last round's zombie works too
    stage.open_gates(*again, *others)
    stage.ended(*again, *others)
    judge(stage.evidence, stage.client)
    assert stale_writes(servers.url) == []
    announce("the stopped server", f"{ROUNDS} rounds, {stage.refused} refused writes, 0 stale writes")


def test_stopped_tree(stage: Stage, servers: Fleet, announce: Callable[[str, str], None]) -> None:
    """Stopped with its supervisor and its children, where nothing could fence itself, it ends its
    runs before it does anything else (failure case 17).
    """
    chosen = random.Random(seed())
    for _ in range(ROUNDS):
        (first, second), others = stage.fill()
        lives = stage.lives()
        with stopped(stage.zombie, chosen):
            stage.evidence.frozen |= {(first, 1), (second, 1)}
            stage.open_gates(first, *others)
            stage.ended(*others)
            stage.began(second, 1, 2)  # beside the first attempt, which knows nothing of it
            stage.ended(first)
        until(lambda: stage.lives() > lives, "it lives again", guard(10))  # noqa: B023 - at once
        # Only first attempts hold these locks: the second of this job has found its lock taken.
        assert not any(checker_journal.lives(stage.evidence.log, job_id) for job_id in (first, second))
        stage.open_gates(second)
        stage.ended(second)
        stage.refused += stage.refusals(first) + stage.refusals(second)
    again, others = stage.fill()
    stage.open_gates(*again, *others)
    stage.ended(*again, *others)
    judge(stage.evidence, stage.client)
    assert stale_writes(servers.url) == []
    assert stage.refused >= ROUNDS
    announce("the stopped tree", f"{ROUNDS} rounds, {stage.refused} refused writes, 0 stale writes")


class stopped:  # noqa: N801 - a verb, as contextmanager makes
    """The whole tree of a server, stopped for as long as the block lasts."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._pids: list[int] = []

    def __enter__(self) -> None:
        while pids := [pid for pid in self._server.processes() if pid not in self._pids]:
            for pid in sorted(pids):  # the server first: it is the oldest
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            self._pids += pids

    def __exit__(self, *_: object) -> None:
        self._rng.shuffle(self._pids)
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
