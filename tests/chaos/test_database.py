"""The database goes away under load, for a moment and for longer than a lease, or is not there when
a server starts.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

import headrace
from headrace.errors import DeadlineExceeded, Unavailable
from headrace.info import ErrorKind
from headrace.v1 import admin_service_pb2, job_pb2, job_service_pb2, job_service_pb2_grpc
from support import checker_journal
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_witness import Witness
from support.figures import figure, guard, seed
from support.fleet import LEASE, Fleet, fleet
from support.phases import Doomed
from support.postgresql import Cluster, Server, own
from support.server import until
from support.storm import Storm
from support.storm_fleet import Several
from support.storm_load import settle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(300, 7200))]

RESTARTS = figure(5, 20)
JOBS = figure(150, 3000)
HEALED_SECONDS = 5.0
NAMES = ("first", "second")


@pytest.fixture
def database() -> Iterator[Cluster]:
    """A PostgreSQL that may be stopped."""
    with own() as made:
        yield made


@pytest.fixture
def url(database: Cluster) -> str:
    """An empty database there."""
    with closing(Server(database.url)) as server:
        return server.create("jobs")


@pytest.fixture
def servers(tmp_path: Path, database: Cluster, url: str) -> Iterator[Fleet]:
    """Makes servers on it; at their end it is there."""
    with fleet(tmp_path, url) as made:
        yield made
        database.stop()
        database.start()


class Through:
    """Runs that go on through everything, one in each server."""

    def __init__(self, storm: Storm, folder: Path) -> None:
        self._gate = folder / "through"
        self._witness = storm.witness()
        self._jobs = [
            self._witness.submit(f"through {number}", parameters={"gate": str(self._gate)}, priority=9).job_id
            for number in range(len(NAMES))
        ]
        for job_id in self._jobs:
            until(lambda job_id=job_id: checker_journal.starts(self._witness.evidence.log, job_id), "it runs")

    def end(self) -> None:
        """None of them was disturbed."""
        self._gate.touch()
        for job_id in self._jobs:
            assert self._witness.wait(job_id).result == 1


def heal(storm: Storm, servers: Fleet, name: str) -> float:
    """Wait until a job can be submitted to each server, and is run; answer the seconds that this
    took.
    """
    begun = time.monotonic()
    for number, server in enumerate(servers.servers.values()):
        with closing(server.client(timeout=60)) as client:
            witness = Witness(storm.evidence, client)
            job = witness.submit(f"healed {name} {number}", "chaos.quick", priority=9)
            assert witness.wait(job.job_id).status == "SUCCEEDED"
    return time.monotonic() - begun


def test_restarts_under_load(
    servers: Fleet, database: Cluster, tmp_path: Path, announce: Callable[[str, str], None]
) -> None:
    """Restarted shorter than the lease, or its connections ended: callers are told to come again,
    runs go on, nothing is lost or doubled (failure cases 6, 8).
    """
    chosen = seed()
    rng = random.Random(chosen)
    evidence = Evidence(tmp_path / "log")
    made: Any = [servers.start(name, Doomed, workers=3, lease_time=10) for name in NAMES]
    healed = []
    with closing(Several(made, rng)) as field:
        # Its clients take UNAVAILABLE and DEADLINE_EXCEEDED for an answer, and no other error.
        storm = Storm(field, evidence, chosen, JOBS)
        try:
            runs = Through(storm, tmp_path)
            storm.begin()
            for number in range(1, RESTARTS + 1):
                enough = JOBS * number // (RESTARTS + 1)
                storm.allowed = JOBS * (number + 1) // (RESTARTS + 1)
                until(lambda enough=enough: len(evidence.submits) >= enough or storm.errors, "submits", 120)
                time.sleep(rng.uniform(0, 0.1))  # at a random moment of what goes on
                with evidence.away():
                    database.stop((signal.SIGINT, signal.SIGQUIT)[number % 2])
                    database.start()
                    healed.append(heal(storm, servers, f"restart {number}"))
                with closing(Server(database.url)) as server, evidence.away():
                    assert server.terminate("jobs", rng.choice(["headrace", "headrace writes"]))
                    healed.append(heal(storm, servers, f"end {number}"))
            storm.submitted()
            runs.end()
            report = settle(storm, evidence)
        finally:
            storm.close()
    assert not report.by_error()[ErrorKind.INSTANCE_LOST]
    announce(
        "the database, restarted under load",
        f"{RESTARTS} restarts, and {RESTARTS} times its connections ended; {len(report.jobs)} jobs, "
        f"lost {report.lost}, doubled {report.doubled}; healed within {max(healed):.1f} s",
    )
    assert max(healed) <= guard(HEALED_SECONDS)


def test_away_longer_than_the_lease(servers: Fleet, database: Cluster, tmp_path: Path) -> None:
    """Its runs are ended and their processes are gone; when it is back each server lives again by
    itself, and repeats what may be repeated (failure case 6).
    """
    evidence = Evidence(tmp_path / "log", takeover=LEASE)
    made: Any = [servers.start(name, Doomed, workers=2) for name in NAMES]
    gate = tmp_path / "gate"
    with closing(made[0].client(timeout=60)) as client:
        witness = Witness(evidence, client)
        jobs = [
            witness.submit(f"{attempts} {number}", parameters={"gate": str(gate)}, attempts=attempts).job_id
            for attempts in (1, 2)
            for number in range(2)
        ]
        for job_id in jobs:
            until(lambda job_id=job_id: checker_journal.starts(evidence.log, job_id), "it runs")
        database.stop()
        with pytest.raises((Unavailable, DeadlineExceeded)), made[1].client(timeout=0.5) as other:
            other.submit("test.noop")
        until(
            lambda: not any(checker_journal.lives(evidence.log, job_id) for job_id in jobs), "no run is left"
        )
        for server in made:
            until(lambda server=server: server.logged("the lease of this instance is lost"), "it has noticed")
        gate.touch()
        database.start()
        for server in made:
            until(lambda server=server: server.logged("this instance is alive again"), "it lives again")
        once, twice = [[witness.wait(job_id) for job_id in pair] for pair in (jobs[:2], jobs[2:])]
        assert {str(job.error.kind) for job in once} == {"INSTANCE_LOST"}
        assert [job.result for job in twice] == [2, 2]
        heal_alone(made, evidence)
        report = judge(evidence, client)
    assert report.by_status() == {"FAILED": 2, "SUCCEEDED": 4}


def heal_alone(made: list[Doomed], evidence: Evidence) -> None:
    """Each of them takes a job."""
    for number, server in enumerate(made):
        with closing(server.client(timeout=60)) as client:
            witness = Witness(evidence, client)
            witness.wait(witness.submit(f"afterwards {number}", "chaos.quick").job_id)


@pytest.mark.parametrize(("away_", "back_"), [("stop", "start"), ("freeze", "thaw")])
def test_away_and_back(tmp_path: Path, database: Cluster, url: str, away_: str, back_: str) -> None:
    """Stopped or silent, and with the sessions that an operator of several nodes asks for, health
    follows the database: NOT_SERVING and live while it is away, SERVING again after; the job that
    runs is not disturbed (failure case 6).
    """
    gate, note = tmp_path / "gate", tmp_path / "note"
    with ExitStack() as ends:
        made = ends.enter_context(fleet(tmp_path, f"{url}?target_session_attrs=read-write"))
        server = made.start("one", lease_time=30)
        client = ends.enter_context(server.client(timeout=30))
        job = client.submit("test.record", {"log": str(note), "gate": str(gate)})
        until(note.exists, "the job runs")
        health = health_pb2_grpc.HealthStub(ends.enter_context(grpc.insecure_channel(server.target)))
        answers = health.Watch(health_pb2.HealthCheckRequest(service="headrace.v1.JobService"), timeout=60)
        assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
        ends.callback(database.thaw)
        getattr(database, away_)()
        away = time.monotonic()
        assert next(answers).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert time.monotonic() - away < guard(2)
        live = health.Check(health_pb2.HealthCheckRequest(service="live"))
        assert live.status == health_pb2.HealthCheckResponse.SERVING
        getattr(database, back_)()
        back = time.monotonic()
        assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
        assert time.monotonic() - back < guard(2)
        gate.touch()
        assert job.wait(30).status == "SUCCEEDED"
        answers.cancel()


def test_away_at_the_start(servers: Fleet, database: Cluster) -> None:
    """A server that finds no database says so in its log and to balancers, tells every caller to
    come again, and serves on the same connections when it is there (failure case 7).
    """
    database.stop()
    with ExitStack() as ends:
        server = servers.make("early")
        server.launch()
        ends.callback(server.close)
        channel = ends.enter_context(grpc.insecure_channel(server.target))
        question = health_pb2.HealthCheckRequest()
        answers = health_pb2_grpc.HealthStub(channel).Watch(question, wait_for_ready=True, timeout=60)
        assert next(answers).status == health_pb2.HealthCheckResponse.NOT_SERVING
        until(lambda: server.logged("Trying again"), "it says why")
        (said, *_) = server.logged("Trying again")
        assert said["event"].startswith("The database postgresql://headrace@127.0.0.1"), said
        assert "Connection refused" in said["event"]
        for method in methods():
            assert refused(channel, method), method
        database.start()
        assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        request = job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(type="test.noop"))
        job = jobs.SubmitJob(request, timeout=30).job
        with headrace.Client(server.target) as client:
            assert client.handle(job.job_id).wait(30).status == "SUCCEEDED"


def methods() -> Iterator[str]:
    """Every method of the contract."""
    for file in (job_service_pb2, admin_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}"


def refused(channel: grpc.Channel, method: str) -> bool:
    """Whether a call is UNAVAILABLE and is told when to come again."""
    with pytest.raises(grpc.RpcError) as caught:
        next(channel.unary_stream(method)(b"", timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined] # it is a call too
    status = rpc_status.from_call(caught.value)
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
