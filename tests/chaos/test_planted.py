"""Bugs planted in the running product: the checker finds each, names the invariant that it breaks,
and no other.

A bug is a part that app.py is given in the product's place (support.checker_bugs); logs and
histories are what the server with the bug has made of them.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from headrace.errors import JobNotFound
from support import checker_journal
from support.checker import Broken, judge
from support.checker_bugs import Planted
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.history import Invariant
from support.phases import Doomed, Phase
from support.server import until

pytestmark = pytest.mark.slow


class Stage:
    """A server, one client of it and what they leave as evidence."""

    def __init__(self, server: Doomed, folder: Path) -> None:
        folder.mkdir()
        self.server = server
        self.gate = folder / "gate"
        self.evidence = Evidence(folder / "log")
        self.witness = Witness(self.evidence, server.client(timeout=60, wait_for_ready=True))

    def rise(self, phase: str) -> None:
        """The server has died: start it again."""
        assert self.server.wait() == -9
        self.evidence.kills[phase] += 1
        with self.evidence.away():
            self.server.start()

    def ended(self, job_id: str) -> None:
        """Wait until the job has ended and its code has, which is not the same where there is a
        bug.
        """
        self.witness.wait(job_id)
        until(lambda: not checker_journal.lives(self.evidence.log, job_id), "no code of it is left")

    def began(self, job_id: str, *attempts: int) -> None:
        """Wait until its code has begun with these attempts."""
        log = self.evidence.log
        until(lambda: checker_journal.starts(log, job_id) == list(attempts), f"attempts {attempts} began")


def killed_behind_an_answer(stage: Stage) -> None:
    """The server dies as soon as a submit was answered."""
    job = stage.witness.submit("killed behind the answer", attempts=2)
    stage.server.process.kill()
    stage.rise("submit answered")
    with suppress(JobNotFound):
        stage.ended(job.job_id)


def killed_behind_an_end(stage: Stage) -> None:
    """The server dies as soon as the end of a job is on disk."""
    job = stage.witness.submit("killed behind the end", parameters={"gate": str(stage.gate)})
    stage.began(job.job_id, 1)
    stage.server.choose(Phase.ENDED, "killed behind the end")
    stage.gate.touch()
    stage.rise(Phase.ENDED)
    stage.ended(job.job_id)


def stopped(stage: Stage) -> None:
    """A job that does not listen is stopped."""
    job = stage.witness.submit("stopped", parameters={"gate": str(stage.gate), "deaf": True})
    stage.began(job.job_id, 1)
    assert stage.witness.stop(job.job_id, grace=0.5, wait=30).outcome == "STOPPED"
    stage.gate.touch()
    stage.ended(job.job_id)


def timed_out(stage: Stage) -> None:
    """A job with two attempts runs longer than it may in the first."""
    parameters = {"gate": str(stage.gate), "deaf": True}
    job = stage.witness.submit("timed out", parameters=parameters, attempts=2, attempt_timeout=0.5)
    stage.began(job.job_id, 1, 2)
    stage.gate.touch()
    stage.ended(job.job_id)


def started(stage: Stage) -> None:
    """A job runs."""
    stage.ended(stage.witness.submit("started").job_id)


def killed_in_a_run(stage: Stage) -> None:
    """The server dies as soon as a job's code has said something."""
    job = stage.witness.submit("killed in the run", hold=True)
    stage.server.choose(Phase.RUNNING, "killed in the run")
    call = threading.Thread(target=job.release)
    call.start()
    stage.rise(Phase.RUNNING)
    call.join()
    stage.ended(job.job_id)


def repeated(stage: Stage) -> None:
    """A submit is repeated."""
    for _ in range(2):
        stage.ended(stage.witness.submit("repeated").job_id)


def followed_by_another(stage: Stage) -> None:
    """A job ends after another one."""
    for number in range(2):
        stage.ended(stage.witness.submit(f"number {number}").job_id)


PLANTED = [
    ("AnswersFirst", killed_behind_an_answer, Invariant.I1, "its submit was answered, and it is not there"),
    ("RewritesEnds", followed_by_another, Invariant.I2, "its end_time was answered as"),
    ("ForgetsRequests", repeated, Invariant.I6, "request_id 'repeated' made 2 jobs"),
    ("LateEvents", killed_behind_an_end, Invariant.I4, "the job is at revision"),
    ("AbortsFirst", stopped, Invariant.I7, "it was answered as ABORTED while a process of it lived"),
    ("RequeuesFirst", timed_out, Invariant.I5, "began while an earlier run of the job lived"),
    ("StartsFirst", started, Invariant.I5, "before its permit was on disk"),
    ("StartsFirst", killed_in_a_run, Invariant.I5, "start of attempt 1 was written 2 times"),
]


@pytest.mark.parametrize(
    ("bug", "drive", "invariant", "sentence"), PLANTED, ids=[f"{row[0]}-{row[1].__name__}" for row in PLANTED]
)
def test_a_planted_bug_is_found(
    tmp_path: Path, bug: str, drive: Callable[[Stage], None], invariant: Invariant, sentence: str
) -> None:
    """The checker reports the invariant that the bug breaks, says how, and reports no other."""
    with Planted(tmp_path, bug) as server:
        stage = Stage(server, tmp_path / "stage")
        drive(stage)
        with pytest.raises(Broken, match=f"{invariant.name} .*: \\d+ VIOLATIONS") as caught:
            judge(stage.evidence, stage.witness.client)
        stage.witness.client.close()
    assert caught.value.invariants == {invariant}
    assert sentence in str(caught.value)


def test_without_a_bug_nothing_is_found(tmp_path: Path) -> None:
    """The same deeds done to the product pass the checker: what it reports above are the bugs."""
    with Doomed(tmp_path) as server:
        for _, drive, _, _ in PLANTED:
            stage = Stage(server, tmp_path / drive.__name__)
            drive(stage)
            assert not judge(stage.evidence, stage.witness.client).broken
            stage.witness.client.close()


def test_a_direct_start_that_fails_gives_its_slot_back(tmp_path: Path) -> None:
    """Where each claim that goes with a submit fails, an ordinary one follows: every job runs, one
    after the other in the one slot.
    """
    with Planted(tmp_path, "FailsDirectly", workers=1) as server, server.client() as client:
        assert [client.run("test.echo", {"n": n}).result for n in range(5)] == [{"n": n} for n in range(5)]
        assert server.logged("no direct start: The batch was lost.")
