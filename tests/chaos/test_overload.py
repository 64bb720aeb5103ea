"""More callers than a server can serve: some are refused at once, the rest is served as ever, and
nothing grows.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from support.figures import LONG, figure, guard
from support.resident import resident
from support.server import TESTS, Server

pytestmark = pytest.mark.slow

MIB = 1 << 20
CALLERS = 2
IN_FLIGHT = 300
MAX_CALLS = 100
SECONDS = figure(10, 120)
CACHE = 64 * MIB
"""What SQLite may keep of the database: the jobs of the flood fill it."""


def test_overload_by_callers(tmp_path: Path) -> None:
    """Twice three hundred submits in flight: some get RESOURCE_EXHAUSTED with RetryInfo, the rest
    an even service, in flat memory.
    """
    with Server(tmp_path, max_calls=MAX_CALLS, workers=1) as server, server.client(timeout=60) as client:
        client.submit("test.noop").wait(30)
        arguments = [sys.executable, "-m", "support.flood", server.target, str(IN_FLIGHT), str(SECONDS)]
        callers = [
            subprocess.Popen(arguments, cwd=TESTS, stdout=subprocess.PIPE, text=True) for _ in range(CALLERS)
        ]
        memory, polite = [], []
        try:
            while any(caller.poll() is None for caller in callers):
                polite.append(submit_politely(client))
                assert client.server_info().counters["calls"] <= MAX_CALLS + 1
                memory.append(resident(server.process.pid))
        finally:
            for caller in callers:
                caller.kill()
        answers = [json.loads(caller.communicate()[0]) for caller in callers]
        report(answers, polite, memory)
        codes = sum((Counter(answer["codes"]) for answer in answers), Counter())
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
        assert codes["OK"] > 100
        assert codes["RESOURCE_EXHAUSTED"] > 100
        assert sum(answer["without_retry_info"] for answer in answers) == 0
        assert max(answer["longest_gap"] for answer in answers) < guard(1)
        early = max(memory[: len(memory) // 3 + 1])
        assert max(memory) - early < CACHE + early // 10 + 16 * MIB
        assert client.count(tenant="flood").total >= min(codes["OK"], 100_000)


def submit_politely(client: Client) -> float:
    """Seconds from a submit to the job's end, with a client that does what RetryInfo says."""
    began = time.monotonic()
    assert client.submit("test.noop").wait(60).status == "SUCCEEDED"
    return time.monotonic() - began


def report(answers: list[dict[str, Any]], polite: list[float], memory: list[int]) -> None:
    """Print what was seen."""
    print(*answers, sep="\n")
    print(
        f"{len(polite)} polite submits beside it: median {sorted(polite)[len(polite) // 2]:.2f} s, worst {max(polite):.2f} s"
    )
    print(
        f"memory: {memory[0] / MIB:.0f} MiB at first, {max(memory) / MIB:.0f} MiB at most ({'long' if LONG else 'short'} form)"
    )
