"""The link between one instance and the database is cut, silently or with a reset, while another's
holds.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from headrace.info import JobStatus
from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.figures import figure, guard
from support.fleet import LEASE, Fleet, fleet
from support.relay import Relay
from support.server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(120, 3600))]

JOBS = "support.jobs,support.chaos_jobs"
ROUNDS = figure(1, 20)


@pytest.fixture
def link(shared_url: str) -> Iterator[Relay]:
    """The way to the database for one of them."""
    with Relay(urlsplit(shared_url).netloc.rpartition("@")[2]) as relay:
        yield relay


@pytest.fixture
def servers(tmp_path: Path, shared_url: str, link: Relay) -> Iterator[Fleet]:
    """One server whose link can be cut, and another."""
    with fleet(tmp_path, shared_url) as made:
        through = shared_url.replace(urlsplit(shared_url).netloc.rpartition("@")[2], link.target)
        made.start("cut", workers=1, jobs=JOBS, database_url=through)
        yield made
        link.heal()


def began(evidence: Evidence, job_id: str, *attempts: int) -> None:
    """Wait until the code of a job has begun with these attempts."""
    found = lambda: checker_journal.starts(evidence.log, job_id) == list(attempts)  # noqa: E731
    until(found, f"attempts {attempts} of {job_id} began")


def await_beat(url: str, server: Server) -> None:
    """Wait until an instance has just raised its beat."""
    question = "SELECT beat FROM instance WHERE instance LIKE %s"
    with psycopg.connect(url, autocommit=True) as database:
        asked = (f"%-{server.process.pid}-%",)
        before = database.execute(question, asked).fetchone()
        until(lambda: database.execute(question, asked).fetchone() != before, "it beats")


@pytest.mark.parametrize("how", [Relay.fall_silent, Relay.reset])
@pytest.mark.parametrize("_number", range(ROUNDS))
def test_a_cut_instance_fences_itself(
    servers: Fleet, link: Relay, tmp_path: Path, how: Callable[[Relay], None], _number: int
) -> None:
    """Its children are gone before another runs its job; it says so, and lives again when the link
    is back (failure case 17).
    """
    cut = servers.servers["cut"]
    evidence = Evidence(tmp_path / "log", takeover=1.5 * LEASE)
    gate = tmp_path / "gate"
    with closing(cut.client(timeout=60)) as client:
        parameters = {"gate": str(gate), "deaf": True}
        job_id = Witness(evidence, client).submit("cut off", parameters=parameters, attempts=2).job_id
        began(evidence, job_id, 1)
    other = servers.start("other", workers=1, jobs=JOBS)  # only now: the job is to run where the link is cut
    how(link)
    with closing(other.client(timeout=60)) as client:
        witness = Witness(evidence, client)
        began(evidence, job_id, 1, 2)  # and not beside the first, says the checker
        (lost,) = cut.logged("is lost: its runs are ended")
        taken = [event.event_time for event in client.events(job_id) if event.status == JobStatus.TO_BE_RUN]
        assert taken[-1] is not None
        assert datetime.fromisoformat(lost["timestamp"]) < taken[-1].astimezone(UTC)
        assert not cut.logged("this instance is alive again")
        link.heal()
        until(lambda: cut.logged("this instance is alive again"), "it lives again", guard(10))
        gate.touch()
        assert witness.wait(job_id).result == 2
        with closing(cut.client(timeout=60)) as healed:
            assert healed.submit("test.echo", {"x": 1}).result(30) == {"x": 1}
        judge(evidence, client)


def test_a_cut_instance_that_is_stopped_too(servers: Fleet, link: Relay, tmp_path: Path) -> None:
    """Stopped just before it would have fenced itself, it has told its supervisor when: that waits
    for no silence (failure case 17).
    """
    cut = servers.servers["cut"]
    evidence = Evidence(tmp_path / "log", takeover=1.5 * LEASE)
    gate = tmp_path / "gate"
    with closing(cut.client(timeout=60)) as client:
        parameters = {"gate": str(gate), "deaf": True}
        job_id = Witness(evidence, client).submit("cut off", parameters=parameters, attempts=2).job_id
        began(evidence, job_id, 1)
    other = servers.start("other", workers=1, jobs=JOBS)
    await_beat(servers.url, cut)
    link.fall_silent()
    time.sleep(0.7 * LEASE)  # of the 0.85 that it gives itself
    cut.process.send_signal(signal.SIGSTOP)
    with closing(other.client(timeout=60)) as client:
        began(evidence, job_id, 1, 2)  # and not beside the first, says the checker
        link.heal()
        cut.process.send_signal(signal.SIGCONT)
        until(lambda: cut.logged("this instance is alive again"), "it lives again", guard(10))
        gate.touch()
        assert Witness(evidence, client).wait(job_id).result == 2
        judge(evidence, client)


def test_a_slow_link_costs_time_and_nothing_else(servers: Fleet, link: Relay, tmp_path: Path) -> None:
    """Where each message takes long, jobs run and no lease is lost."""
    cut = servers.servers["cut"]
    link.delay = 0.01
    evidence = Evidence(tmp_path / "log")
    with closing(cut.client(timeout=60)) as client:
        witness = Witness(evidence, client)
        jobs = [witness.submit(f"slow {number}", "chaos.quick").job_id for number in range(figure(8, 500))]
        for job_id in jobs:
            assert witness.wait(job_id).status == "SUCCEEDED"
        judge(evidence, client)
    assert not cut.logged("the lease of this instance is lost")
