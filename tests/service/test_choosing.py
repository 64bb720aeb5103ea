"""What runs: queues, tenants and types that are limited, paused or weighed, by servers that serve
some queues.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from headrace import AsyncClient, Client, JobHandle
from headrace.errors import DeadlineExceeded, InvalidArgument
from headrace.info import Gate, GateScope
from headrace.v1 import admin_service_pb2 as pb
from headrace.v1 import admin_service_pb2_grpc
from support.refusals import refusal
from support.server import Server, until

pytestmark = pytest.mark.slow


@pytest.fixture
def six(tmp_path: Path) -> Iterator[Client]:
    """A client of a server with six workers."""
    with Server(tmp_path, workers=6) as running, running.client() as connected:
        yield connected


def most_at_once(note: Path, mine: str) -> int:
    """Of the runs that wrote to a file, and whose tag begins like this, the most that ran at the
    same time.
    """
    now = most = 0
    for line in note.read_text().splitlines():
        what, tag, _ = line.split()
        if tag.startswith(mine):
            now += 1 if what == "start" else -1
            most = max(most, now)
    return most


def started(note: Path) -> Counter[str]:
    """How many runs have begun, by the first letter of their tags."""
    lines = note.read_text().splitlines() if note.exists() else []
    return Counter(line.split()[1][0] for line in lines if line.startswith("start"))


def test_limits_on_running_jobs(six: Client, note: Path, gate: Path) -> None:
    """A queue, a tenant, a type and each owner run no more jobs at once than they may, whatever
    waits; others run past them (acceptance 41).
    """
    six.update_gate("QUEUE", "narrow", max_running=2)
    six.update_gate("TENANT", "small", max_running=1)
    six.update_gate("TYPE", "test.echo", max_running=0)
    six.update_gate("TENANT", "shared", max_running_per_owner=1)
    jobs: list[JobHandle] = [six.submit("test.echo", priority=9)]

    def submit(tag: str, count: int, **options: str) -> None:
        for number in range(count):
            parameters = {"log": str(note), "gate": str(gate), "tag": f"{tag}{number}"}
            jobs.append(six.submit("test.record", parameters, **options))  # type: ignore[arg-type] # texts

    submit("q", 6, queue="narrow")
    submit("t", 5, tenant="small")
    submit("a", 4, tenant="shared", owner="ann")
    submit("b", 4, tenant="shared", owner="bob")
    expected = {"q": 2, "t": 1, "a": 1, "b": 1}
    until(lambda: started(note) == expected, "as many run as may")
    free = six.run("test.record", {"log": str(note), "tag": "free"}, timeout=30)
    assert free.status == "SUCCEEDED"
    assert started(note) == {**expected, "f": 1}
    [narrow] = [one for one in six.queues() if one.gate.name == "narrow"]
    assert (narrow.waiting, narrow.running, narrow.gate.max_running) == (4, 2, 2)
    assert jobs[0].refresh().status == "QUEUED"
    six.update_gate("TYPE", "test.echo", max_running=None)
    gate.touch()
    for job in jobs:
        job.wait(60)
    assert {tag: most_at_once(note, tag) for tag in expected} == expected


def test_tenants_take_turns(server_with_one_worker: Client, note: Path) -> None:
    """A tenant with a long queue does not starve the others: one job of each in a round, three of
    one that weighs 3 (acceptance 52).
    """
    client = server_with_one_worker
    client.pause_queue("default")
    for tenant, count in (("big", 12), ("mid", 4), ("tiny", 2)):
        for number in range(count):
            client.submit(
                "test.record",
                {"log": str(note), "tag": f"{tenant}-{number}"},
                tenant=tenant,
                priority=9 if tenant == "big" else 0,
            )
    client.update_gate("TENANT", "mid", weight=3)
    client.resume_queue("default")
    until(lambda: started(note).total() == 18, "all have run")
    order = "".join(line.split()[1][0] for line in note.read_text().splitlines() if line.startswith("start"))
    assert Counter(order[:5]) == {"b": 1, "m": 3, "t": 1}
    assert Counter(order[5:8]) == {"b": 1, "m": 1, "t": 1}


def test_a_paused_tenant_and_queue(six: Client, note: Path, gate: Path) -> None:
    """Of a paused tenant or queue nothing is started, what runs goes on, submits are taken;
    resumed, it runs (acceptance 53).
    """
    running = six.submit("test.record", {"log": str(note), "gate": str(gate), "tag": "r"}, tenant="p")
    until(lambda: started(note)["r"], "it runs")
    assert six.pause_tenant("p").paused
    assert six.pause_queue("q") == Gate(
        scope=GateScope.QUEUE, name="q", paused=True, max_running=None, max_running_per_owner=None, weight=1
    )
    paused = six.submit("test.noop", tenant="p", priority=9)
    queued = six.submit("test.noop", queue="q", priority=9)
    assert [six.run("test.noop", timeout=30).status for _ in range(3)] == ["SUCCEEDED"] * 3
    gate.touch()
    assert running.wait(30).status == "SUCCEEDED"
    assert {one.gate.name: (one.waiting, one.gate.paused) for one in six.tenants()} == {
        "default": (1, False),
        "p": (1, True),
    }
    assert (paused.refresh().status, queued.refresh().status) == ("QUEUED", "QUEUED")
    assert not six.resume_tenant("p").paused
    assert not six.resume_queue("q").paused
    assert (paused.wait(30).status, queued.wait(30).status) == ("SUCCEEDED", "SUCCEEDED")
    assert list(six.gates()) == []


def test_a_server_of_some_queues(tmp_path: Path) -> None:
    """Jobs name their queue, and a server that serves some queues runs jobs of those only
    (acceptance 60).
    """
    with Server(tmp_path, workers=2, queues="mail,video") as running, running.client() as client:
        other = client.submit("test.noop", priority=9)
        for queue in ("mail", "video"):
            assert client.run("test.noop", queue=queue, timeout=30).status == "SUCCEEDED"
        assert other.refresh().status == "QUEUED"
        [default] = client.queues()
        assert (default.gate.name, default.waiting, default.running) == ("default", 1, 0)
        assert default.oldest_queue_time == other.refresh().queue_time
        assert client.server_info().settings["queues"] == "mail,video"


def test_a_server_of_no_jobs(tmp_path: Path) -> None:
    """A server without workers takes calls and runs nothing; another on the same database runs what
    it took.
    """
    with Server(tmp_path, workers=0) as answering, answering.client() as client:
        job = client.submit("test.noop")
        with pytest.raises(DeadlineExceeded, match="still QUEUED"):
            job.wait(0.5)
        answering.stop()
    with Server(tmp_path, workers=1) as working, working.client() as client:
        assert client.handle(job.job_id).wait(30).status == "SUCCEEDED"


def test_what_is_no_gate_is_refused(client: Client) -> None:
    """A name, a scope, a limit or a weight that is none is refused by its field."""
    for scope, name, changes, field in (
        ("QUEUE", "", {"paused": True}, "name"),
        ("QUEUE", "q" * 300, {"paused": True}, "name"),
        ("NONSENSE", "q", {"paused": True}, "scope"),
        ("QUEUE", "q", {"max_running": -1}, "max_running"),
        ("QUEUE", "q", {"weight": 2}, "weight"),
        ("TENANT", "q", {"weight": 1001}, "weight"),
        ("TENANT", "q", {}, "update_mask"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            client.update_gate(scope, name, **changes)  # type: ignore[arg-type] # that is what is tested
        assert [found.field for found in caught.value.fields] == [field]
    assert list(client.gates()) == []


def test_pages_of_queues(client: Client, server: Server) -> None:
    """Queues and tenants are answered in pages, each once; a token of one is none of the other."""
    mine = [f"{client.server_info().instance}-{number}" for number in range(5)]
    for name in mine:
        client.submit("test.noop", queue=name, hold=True)
        client.pause_queue(name)
        client.submit("test.noop", queue=name)
    with grpc.insecure_channel(server.target) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        answers = [stub.ListQueues(pb.ListQueuesRequest(page_size=2))]
        while token := answers[-1].next_page_token:
            answers.append(stub.ListQueues(pb.ListQueuesRequest(page_size=2, page_token=token)))
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListTenants(pb.ListTenantsRequest(page_token=answers[0].next_page_token))
    listed = [one.gate.name for answer in answers for one in answer.queues]
    assert listed == sorted({*listed, *mine})
    assert refusal(caught.value).reason == "INVALID_PAGE_TOKEN"
    for name in mine:
        client.resume_queue(name)


@pytest.mark.parametrize("place", [["a\ud83d"], ["\ude00"], ["a\0"], [7], [None], []])
def test_a_token_that_was_tampered_with_is_refused(client: Client, server: Server, place: list[Any]) -> None:
    """A page token that names a place no name can have, half a character or NUL among them, is
    refused as such (failure case 26).
    """
    for name in ("page-1", "page-2"):
        client.pause_queue(name)
    with grpc.insecure_channel(server.target) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        given = stub.ListGates(pb.ListGatesRequest(page_size=1)).next_page_token
        fingerprint, *_ = json.loads(base64.urlsafe_b64decode(given))
        other = base64.urlsafe_b64encode(json.dumps([fingerprint, *place]).encode()).decode()
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListGates(pb.ListGatesRequest(page_token=other))
    assert refusal(caught.value).reason == "INVALID_PAGE_TOKEN"
    for name in ("page-1", "page-2"):
        client.resume_queue(name)


def test_a_token_of_a_later_version_is_read(client: Client, server: Server) -> None:
    """A page token that says more than this version asks for goes on where it says: two versions
    answer side by side in an upgrade.
    """
    for name in ("page-1", "page-2"):
        client.pause_queue(name)
    with grpc.insecure_channel(server.target) as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        given = stub.ListGates(pb.ListGatesRequest(page_size=1)).next_page_token
        said = json.loads(base64.urlsafe_b64decode(given))
        later = base64.urlsafe_b64encode(json.dumps([*said, {"colour": "red"}]).encode()).decode()
        pages = [stub.ListGates(pb.ListGatesRequest(page_token=token)) for token in (given, later)]
    assert pages[0] == pages[1]
    assert pages[0].gates
    for name in ("page-1", "page-2"):
        client.resume_queue(name)


async def test_the_same_verbs_for_asyncio(tmp_path: Path) -> None:
    """AsyncClient pauses, limits and lists too."""
    with Server(tmp_path, workers=1) as running:
        async with AsyncClient(running.target) as client:
            await client.pause_queue("q")
            await client.update_gate("QUEUE", "q", max_running=3)
            job = await client.submit("test.noop", queue="q")
            assert [(one.gate.name, one.waiting) async for one in client.queues()] == [("q", 1)]
            assert [(one.gate.name, one.waiting) async for one in client.tenants()] == [("default", 1)]
            assert [gate.max_running async for gate in client.gates()] == [3]
            await client.pause_tenant("default")
            await client.resume_queue("q")
            await client.resume_tenant("default")
            assert (await job.wait(30)).status == "SUCCEEDED"
