"""Bugs of several instances, planted in one of them: the checker finds each, names the invariant
that it breaks, and no other.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from headrace import Client
from support import checker_journal
from support.checker import Broken, judge
from support.checker_bugs import Planted
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.fleet import LEASE, Fleet, fleet
from support.history import Invariant
from support.phases import Doomed
from support.relay import Relay
from support.server import Server, until

pytestmark = pytest.mark.slow


class Stage:
    """An instance that is ill, one that is well, and a client of either."""

    def __init__(self, servers: Fleet, link: Relay, folder: Path, kind: Any, opened: ExitStack) -> None:
        self.link = link
        self.gate = folder / "gate"
        self.evidence = Evidence(folder / "log", takeover=1.5 * LEASE)
        self._servers = servers
        self._kind = kind
        self._opened = opened

    def start(self, name: str, **settings: Any) -> tuple[Server, Witness]:
        """A server, and a witness of it."""
        kind = self._kind if name == "ill" else Doomed
        server = self._servers.start(name, kind, **settings)
        client = self._opened.enter_context(server.client(timeout=60))
        return server, Witness(self.evidence, client)

    def ill(self, **settings: Any) -> tuple[Server, Witness]:
        """The one with the bug; its link to the database can be cut."""
        place = urlsplit(self._servers.url).netloc.rpartition("@")[2]
        through = self._servers.url.replace(place, self.link.target)
        return self.start("ill", database_url=through, **settings)

    def began(self, job_id: str, *attempts: int) -> None:
        """Wait until the code of a job has begun with these attempts."""
        log = self.evidence.log
        until(lambda: checker_journal.starts(log, job_id) == list(attempts), f"attempts {attempts} began")

    def over(self, *job_ids: str) -> None:
        """Wait until the code of jobs has ended, which is not the same as the jobs where there is a
        bug.
        """
        for job_id in job_ids:
            until(
                lambda job_id=job_id: not checker_journal.lives(self.evidence.log, job_id), "no code is left"
            )


def stopped_past_its_lease(stage: Stage) -> Client:
    """A job ends where its instance is stopped, and runs again elsewhere when that goes on.

    Where the end of the first run is taken for that of the second, the second is killed: it shall
    not come to its end.
    """
    ill, witness = stage.ill(workers=1)
    job_id = witness.submit("stopped", parameters={"gate": str(stage.gate), "deaf": True}, attempts=2).job_id
    stage.began(job_id, 1)
    _, well = stage.start("well", workers=1)
    ill.process.send_signal(signal.SIGSTOP)
    stage.gate.touch()
    marks = lambda: [mark.verb for mark in checker_journal.read(stage.evidence.log)]  # noqa: E731
    until(lambda: "end" in marks(), "its code has ended")
    stage.gate.unlink()
    stage.began(job_id, 1, 2)
    ill.process.send_signal(signal.SIGCONT)
    until(lambda: ill.logged("this instance is alive again"), "it lives again")
    witness.submit("behind what it had to say", hold=True).stop()
    if not well.client.get(job_id).final:
        stage.gate.touch()
    well.wait(job_id)
    stage.over(job_id)
    return well.client


def watched_from_elsewhere(stage: Stage) -> Client:
    """Jobs that say much run on one instance, and are watched on another."""
    _, well = stage.start("well", workers=1)
    _, ill = stage.ill(workers=0)
    for number in range(5):
        well.wait(well.submit(f"before {number}").job_id)
    job = ill.submit("watched", hold=True)
    follower = ill.follow(job.job_id)
    follower.open()
    job.release()
    well.wait(job.job_id)
    until(lambda: follower.over, "the watch is over")
    return well.client


def cut_off(stage: Stage) -> Client:
    """An instance loses its database, and another takes its job over."""
    ill, witness = stage.ill(workers=1)
    job_id = witness.submit("cut off", parameters={"gate": str(stage.gate), "deaf": True}, attempts=2).job_id
    stage.began(job_id, 1)
    _, well = stage.start("well", workers=1)
    stage.link.fall_silent()
    stage.began(job_id, 1, 2)
    stage.link.heal()
    until(lambda: ill.logged("this instance is alive again"), "it has heard that it is dead")
    stage.gate.touch()
    well.wait(job_id)
    stage.over(job_id)
    return well.client


PLANTED = [
    ("NoFence", stopped_past_its_lease, Invariant.I5, "its code never came to its end"),
    ("OneSeq", watched_from_elsewhere, Invariant.I4, "a watch broke off"),
    ("NeverLost", cut_off, Invariant.I5, "began while an earlier run of the job lived"),
]


@pytest.fixture
def link(shared_url: str) -> Iterator[Relay]:
    """The way to the database of the one that is ill."""
    with Relay(urlsplit(shared_url).netloc.rpartition("@")[2]) as relay:
        yield relay


@pytest.fixture
def servers(tmp_path: Path, shared_url: str, link: Relay) -> Iterator[Fleet]:
    """Makes servers of one database."""
    with fleet(tmp_path, shared_url) as made:
        yield made
        link.heal()


@pytest.mark.parametrize(("bug", "drive", "invariant", "sentence"), PLANTED, ids=[row[0] for row in PLANTED])
def test_a_planted_bug_of_several_is_found(
    servers: Fleet,
    link: Relay,
    tmp_path: Path,
    bug: str,
    drive: Callable[[Stage], Client],
    invariant: Invariant,
    sentence: str,
) -> None:
    """The checker reports the invariant that the bug breaks, says how, and reports no other."""
    with ExitStack() as opened:
        stage = Stage(servers, link, tmp_path, partial(Planted, bug=bug), opened)
        client = drive(stage)
        with pytest.raises(Broken, match=f"{invariant.name} .*: \\d+ VIOLATIONS") as caught:
            judge(stage.evidence, client)
    assert caught.value.invariants == {invariant}
    assert sentence in str(caught.value)


@pytest.mark.parametrize("drive", [row[1] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_without_a_bug_of_several_nothing_is_found(
    servers: Fleet, link: Relay, tmp_path: Path, drive: Callable[[Stage], Client]
) -> None:
    """The same deeds done to the product pass the checker: what it reports above are the bugs."""
    with ExitStack() as opened:
        stage = Stage(servers, link, tmp_path, Doomed, opened)
        client = drive(stage)
        assert not judge(stage.evidence, client).broken
