"""Instances for different types on one database: what each lists, takes and runs."""

import signal
from pathlib import Path

import pytest

from headrace import Client
from headrace.errors import UnknownType
from support.fleet import Fleet
from support.server import until

pytestmark = pytest.mark.slow


def counts(client: Client) -> dict[str, int]:
    """How many instances run each type that can be submitted here."""
    return {one.type: one.instance_count for one in client.types()}


def test_types_of_several_instances(servers: Fleet) -> None:
    """ListJobTypes names what the instance that is asked takes, and counts the live ones with
    workers that have loaded it (acceptance 10).
    """
    api = servers.start("api", workers=0, jobs="support.jobs,support.chaos_jobs")
    servers.start("one", workers=1)
    both = servers.start("both", workers=1, jobs="support.jobs,support.chaos_jobs")
    with api.client() as client, servers.servers["one"].client() as narrow:
        seen = counts(client)
        assert (seen["test.noop"], seen["chaos.work"]) == (2, 1)
        assert counts(narrow) == {name: 2 for name in seen if name.startswith("test.")}
        with pytest.raises(UnknownType, match=r"There is no type .chaos\.work. here"):
            narrow.submit("chaos.work")
        both.stop()
        until(lambda: counts(client)["chaos.work"] == 0, "nobody runs it")
        assert counts(narrow)["test.noop"] == 1


def test_who_drains_runs_no_more_types(servers: Fleet, tmp_path: Path) -> None:
    """An instance that drains is not counted, asked by itself or by another, though it lives and
    holds a job.
    """
    api = servers.start("api", workers=0)
    worker = servers.start("worker", workers=1, drain_time=60)
    gate = tmp_path / "gate"
    with api.client() as client, worker.client() as own:
        job = client.submit("test.report", {"gate": str(gate)})
        until(lambda: job.refresh().status == "RUNNING", "it runs")
        assert counts(client)["test.noop"] == counts(own)["test.noop"] == 1
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: counts(client)["test.noop"] == 0, "it is not counted")
        assert counts(own)["test.noop"] == 0
        assert [(one.live, one.draining, one.running) for one in client.instances() if one.workers] == [
            (True, True, 1)
        ]
        gate.touch()
        assert job.wait(30).status == "SUCCEEDED"
