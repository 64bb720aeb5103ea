"""Instances that are replaced one by one, while callers who know all of them go on."""

import signal
import sys
from collections import Counter
from pathlib import Path

import grpc
import psycopg
import pytest

from headrace import Client, RetryPolicy
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from support.fleet import Fleet
from support.load import Load, target_of
from support.next_version import tables
from support.refusals import Refusal, refusal
from support.server import Server, until

pytestmark = pytest.mark.deep


def starts(note: Path) -> Counter[str]:
    """How often each job of a load was started."""
    lines = note.read_text().splitlines() if note.exists() else []
    return Counter(line.split()[1] for line in lines if line.startswith("start"))


def roll(load: Load, client: Client, server: Server) -> None:
    """Replace an instance: it drains while the others serve, ends by itself, and is started again."""
    server.process.send_signal(signal.SIGTERM)
    load.goes_on()
    assert server.wait() == 0
    load.goes_on()
    server.start()
    until(
        lambda: len([one for one in client.instances() if one.live and not one.draining]) == 2,
        "both serve",
    )
    load.goes_on()


def refused(server: Server) -> Refusal:
    """What a submit is answered that is not repeated."""
    request = job_service_pb2.SubmitJobRequest(spec=job_pb2.JobSpec(type="test.noop"))
    with grpc.insecure_channel(server.target) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            stub.SubmitJob(request)
    return refusal(error.value)


def test_a_rolling_restart(servers: Fleet, tmp_path: Path) -> None:
    """Two instances restarted in turn under load: no caller sees an error, each job ends well after
    one start (failure case 29, acceptance 82).
    """
    note = tmp_path / "note"
    pair = [servers.start(name, drain_time=30) for name in ("one", "two")]
    with Client(target_of(pair)) as client, Load(target_of(pair), parameters={"log": str(note)}) as load:
        load.goes_on()
        for server in pair:
            roll(load, client, server)
    assert not load.errors
    assert set(load.ended) == set(load.submitted)
    assert set(load.ended.values()) == {"SUCCEEDED"}
    assert starts(note) == Counter(load.submitted)


def test_what_a_draining_instance_holds(servers: Fleet, tmp_path: Path) -> None:
    """Runs may end within the drain time, under a lease that is kept; a second signal stops what is
    left, which runs elsewhere if it may (failure case 29, acceptance 82).
    """
    note, gate, never = tmp_path / "note", tmp_path / "gate", tmp_path / "never"
    one = servers.start("one", drain_time=600, workers=3)
    with one.client() as client:
        ends = client.submit("test.record", {"log": str(note), "gate": str(gate), "tag": "ends"})
        held = {"log": str(note), "gate": str(never)}
        once = client.submit("test.record", {**held, "tag": "once"})
        again = client.submit(
            "test.record", {**held, "tag": "again"}, retry_policy=RetryPolicy(max_attempts=2)
        )
        until(lambda: len(starts(note)) == 3, "all three run")
        waiting = client.submit("test.record", {"log": str(note), "tag": "waiting"})
    two = servers.start("two")
    until(lambda: starts(note)["waiting"], "the other runs what waits")
    one.process.send_signal(signal.SIGTERM)
    with Client(target_of([one, two])) as client:
        until(
            lambda: any(each.live and each.draining for each in client.instances()), "one drains, and lives"
        )
        assert refused(one).reason == "DRAINING"
        assert [client.submit("test.echo", {"n": n}).result(20) for n in range(10)] == [
            {"n": n} for n in range(10)
        ]
        gate.touch()
        assert client.wait(ends.job_id, 20).status == "SUCCEEDED"
        one.process.send_signal(signal.SIGTERM)
        assert one.wait() == 0
        never.touch()
        ended = [client.wait(job.job_id, 20) for job in (ends, once, again, waiting)]
    assert [job.status for job in ended] == ["SUCCEEDED", "FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert ended[1].error is not None
    assert ended[1].error.kind == "INSTANCE_DRAINED"
    assert f"-{one.process.pid}-" in ended[0].instance
    assert [len(job.attempts) for job in ended] == [1, 1, 2, 1]
    assert f"-{two.process.pid}-" in ended[2].instance
    assert starts(note) == Counter({"ends": 1, "once": 1, "again": 2, "waiting": 1})


def test_two_versions_side_by_side(servers: Fleet, tmp_path: Path) -> None:
    """An instance of the next version adds to the tables under load; old ones serve on, are started
    again on them, and are replaced (failure case 29).
    """
    note, folder = tmp_path / "note", tmp_path / "migrations"
    revision = tables.migrations(folder)
    command = (sys.executable, "-m", "support.next_version", str(folder))
    pair = [servers.start(name, drain_time=30) for name in ("one", "two")]
    with Client(target_of(pair)) as client, Load(target_of(pair), parameters={"log": str(note)}) as load:
        load.goes_on()
        pair[0].command = command
        roll(load, client, pair[0])
        with psycopg.connect(servers.url) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)
            assert connection.execute("SELECT count(DISTINCT colour) FROM job").fetchone() == (0,)
        roll(load, client, pair[1])
        assert pair[1].logged(f"newer schema {revision}, which serves this version too")
        pair[1].command = command
        roll(load, client, pair[1])
    assert not load.errors
    assert set(load.ended.values()) == {"SUCCEEDED"}
    assert starts(note) == Counter(load.submitted)
