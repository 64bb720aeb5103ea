"""Limits over several servers: as many run at once as may, by what their code notes itself, whoever
claims.
"""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, JobHandle
from support.checker_bugs import Planted
from support.fleet import Fleet
from support.phases import Doomed
from support.server import until

pytestmark = pytest.mark.slow

SERVERS = ("one", "two", "three")
MAY = {"queue": 5, "tenant": 2, "type": 2, "ann": 1, "bob": 1}
"""How many of each may run at once; together one less than there are workers."""
JOBS = {"queue": 16, "tenant": 6, "type": 6, "ann": 3, "bob": 3}
"""How many of each there are in a wave."""
WAVES = 4
MANY_WAVES = 20
"""A race that is planted is lost by chance: so often it is tried at most."""
TYPES = ("chaos.work", "test.record")
WHERE: dict[str, dict[str, str]] = {
    "queue": {"queue": "narrow"},
    "tenant": {"tenant": "small"},
    "type": {},
    "ann": {"tenant": "shared", "owner": "ann"},
    "bob": {"tenant": "shared", "owner": "bob"},
}


def limit(client: Client) -> None:
    """What may run of each."""
    client.update_gate("QUEUE", "narrow", max_running=MAY["queue"])
    client.update_gate("TENANT", "small", max_running=MAY["tenant"])
    client.update_gate("TYPE", "test.record", max_running=MAY["type"])
    client.update_gate("TENANT", "shared", max_running_per_owner=1)


def marks(log: Path) -> list[tuple[str, str]]:
    """What the code of jobs has noted: start or end, and the job's id."""
    lines = (line.split() for line in log.read_text().splitlines()) if log.exists() else ()
    return [(verb, job_id) for verb, job_id, *_ in lines]


def most_at_once(log: Path, kinds: dict[str, str]) -> Counter[str]:
    """Of each kind the most that ran at the same time."""
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for verb, job_id in marks(log):
        kind = kinds[job_id]
        now[kind] += 1 if verb == "start" else -1
        most[kind] = max(most[kind], now[kind])
    return most


def more(most: Counter[str]) -> bool:
    """Whether more have run at once than may."""
    return any(most[name] > may for name, may in MAY.items())


def crowd(servers: Fleet, kind: Any, folder: Path, waves: int = WAVES) -> Counter[str]:
    """Waves of jobs under limits, on three servers of four workers; answer the most of each kind
    that ran at once.

    A wave is let go when all of it is there, so that the three claim in the same moment. The last
    is the one in which more run than may.
    """
    log = folder / "log"
    three = [servers.start(name, kind, workers=4) for name in SERVERS]
    kinds: dict[str, str] = {}
    with three[0].client(timeout=60) as client, three[1].client(timeout=60) as other:
        limit(client)
        for wave in range(waves):
            gate = folder / f"gate {wave}"
            full = 2 * len(kinds) + sum(MAY.values())
            for job_type in TYPES:
                client.update_gate("TYPE", job_type, paused=True)
            for number in range(max(JOBS.values())):
                for name in (name for name, count in JOBS.items() if number < count):
                    parameters = {"log": str(log), "gate": str(gate)}
                    job_type = TYPES[name == "type"]
                    job = (client, other)[number % 2].submit(job_type, parameters, **WHERE[name])  # type: ignore[arg-type] # texts
                    kinds[job.job_id] = name
            for job_type in TYPES:
                client.update_gate("TYPE", job_type, paused=False)
            until(lambda full=full: len(marks(log)) >= full, "as many run as may")
            gate.touch()
            until(lambda: len(marks(log)) == 2 * len(kinds), "all have run", 120)
            if more(most_at_once(log, kinds)):
                break
        until(lambda: not any(queue.waiting or queue.running for queue in other.queues()), "none is left")
        ran = {job.instance for job in client.list(tenant="-")}
    assert len(ran) == len(three), "each has had its share"
    return most_at_once(log, kinds)


def test_limits_over_several_servers(servers: Fleet, tmp_path: Path) -> None:
    """Three servers run of a queue, a tenant, a type and an owner exactly as many jobs at once as
    may, and all of them in the end (acceptance 41).
    """
    assert crowd(servers, Doomed, tmp_path) == MAY


def test_a_limit_counted_too_soon_is_found(servers: Fleet, tmp_path: Path) -> None:
    """With a planted bug, what runs is counted by the statement that locks the gate: more run at
    once than may, and this is seen.
    """
    assert more(crowd(servers, partial(Planted, bug="CountsInTheLock"), tmp_path, MANY_WAVES))


def test_what_is_opened_is_claimed_elsewhere_at_once(servers: Fleet) -> None:
    """A queue or a tenant resumed, or a limit widened, on one instance: another claims at once,
    without its poll of a second.
    """
    api = servers.start("api", workers=0)
    servers.start("worker", workers=1)
    with api.client() as client:
        ways: list[tuple[Callable[[], object], Callable[[], object]]] = [
            (lambda: client.pause_queue("default"), lambda: client.resume_queue("default")),
            (lambda: client.pause_tenant("default"), lambda: client.resume_tenant("default")),
            (
                lambda: client.update_gate("TYPE", "test.noop", max_running=0),
                lambda: client.update_gate("TYPE", "test.noop", max_running=None),
            ),
        ]
        waits = [_until_it_ran(client, *way) for way in ways * 3]
    # Each time the other has just claimed, so that its next poll is almost a second away.
    assert sorted(waits)[len(waits) // 2] < 0.5, waits


def _until_it_ran(client: Client, shut: Callable[[], object], reopen: Callable[[], object]) -> float:
    shut()
    job: JobHandle = client.submit("test.noop")
    # Once this has run, the other has looked and passed the first by: no hint of a submit is still
    # on its way.
    client.run("test.echo", {"value": 1}, tenant="open", queue="open")
    begun = time.monotonic()
    reopen()
    assert job.wait(20).status == "SUCCEEDED"
    return time.monotonic() - begun


def test_room_made_elsewhere_is_claimed_at_once(servers: Fleet, tmp_path: Path) -> None:
    """A job under a full limit ends on one instance: another that waits behind the limit claims at
    once, without its poll of a second.
    """
    api = servers.start("api", workers=0)
    for name in ("a", "b"):
        servers.start(name, workers=2, queues=name)
    with api.client() as client:
        client.update_gate("TYPE", "test.hold", max_running=1)
        waits = [_until_the_other_began(client, tmp_path / f"round {n}") for n in range(5)]
    # Each time the other has just claimed, so that its next poll is almost a second away.
    assert sorted(waits)[len(waits) // 2] < 0.5, waits


def _until_the_other_began(client: Client, folder: Path) -> float:
    folder.mkdir()
    started, gate, other = folder / "started", folder / "gate", folder / "other"
    ends = {"gate": str(gate)}
    first = client.submit("test.hold", {"started": str(started), **ends}, queue="a")
    until(started.exists, "the first runs")
    second = client.submit("test.hold", {"started": str(other), **ends}, queue="b")
    client.run("test.echo", {"value": 1}, queue="b")
    begun = time.monotonic()
    gate.touch()
    until(other.exists, "the second runs")
    waited = time.monotonic() - begun
    assert [job.wait(20).status for job in (first, second)] == ["SUCCEEDED"] * 2
    return waited
