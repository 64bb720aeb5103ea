"""Many watch at once: what it costs, who is served, and what becomes of those who leave."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import pytest

import headrace
from headrace.info import JobEvent
from support.checker_evidence import Evidence
from support.figures import LONG, figure, guard
from support.follower import Follower
from support.relay import Relay
from support.resident import KIB, resident
from support.server import Server, until
from support.watchers import Watchers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(240, 1800))]

JOBS = "support.jobs,support.watchers_jobs"
STREAM_MEMORY = 50 * KIB
EVENT_DELAY = 0.25
"""Seconds from an event to the client, p99."""
CALL_DELAY = 2.0
"""Seconds, p99: no promise, but longer would mean that watchers keep callers waiting."""
WATCHERS_OF_ONE = 20
HOT_EVENTS = 10
LOUD_WATCHERS = 20
MESSAGES, MESSAGE_CHARS = 600, 4000
FLAT = 32 << 20
"""Bytes that the server may take while slow watchers leave 50 MB unread."""
CALLERS = 4
MESSAGE_KINDS = ("MESSAGE_LOGGED", "MESSAGES_DROPPED")
KEEPALIVE, CLIENT_KEEPALIVE = 40.0, 30.0
"""Seconds: the server pings an idle connection after 30, a client after 20, and each waits 10 for
the answer.
"""
MOVES = ["QUEUED", "TO_BE_RUN", "RUNNING", "SUCCEEDED"]


def p99(sorted_times: Sequence[float]) -> float:
    """The time that one in a hundred exceeds."""
    return sorted_times[int(len(sorted_times) * 0.99)]


class Caller:
    """Those who go on working: GetJob and SubmitJob, one after the other, all the time."""

    def __init__(self, client: headrace.Client, job_id: str) -> None:
        self.times: dict[str, list[float]] = {"GetJob": [], "SubmitJob": []}
        self._client = client
        self._job_id = job_id
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for times in self.times.values():
            times.sort()

    def _call(self) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            self._client.get(self._job_id)
            asked = time.perf_counter()
            self._client.submit("test.noop", hold=True)
            self.times["GetJob"].append(asked - began)
            self.times["SubmitJob"].append(time.perf_counter() - asked)


def hold(client: headrace.Client, count: int) -> list[str]:
    """Jobs that wait to be released."""
    return [client.submit("test.noop", hold=True).job_id for _ in range(count)]


def watchers_of(client: headrace.Client) -> int:
    """How many the server counts."""
    return client.server_info().counters["watchers"]


def show_all(client: headrace.Client, watchers: Watchers, job_id: str, priority: int, readers: int) -> None:
    """Make something happen to a job, and wait until all who read have seen it."""
    revision = client.update(job_id, priority=priority).revision
    until(lambda: watchers.reached(job_id, revision) == readers, "all who read have seen it", guard(20))


def histories(
    client: headrace.Client, jobs: Sequence[str], *, messages: bool
) -> Mapping[str, list[tuple[int, str]]]:
    """What a watcher of each job has to see behind its first snapshot."""
    return {
        job_id: [shown for event in client.events(job_id) if (shown := _shown(event, messages=messages))]
        for job_id in jobs
    }


def _shown(event: JobEvent, *, messages: bool) -> tuple[int, str] | None:
    if event.revision == 1 or (event.kind in MESSAGE_KINDS and not messages):
        return None
    return event.revision, event.status.name


def assert_complete(
    seen: Sequence[tuple[str, list[tuple[int, str]], int, str]], expected: Mapping[str, list[tuple[int, str]]]
) -> None:
    """Every watcher saw every event of its job, in order, once, and then the end."""
    for number, (job_id, events, finished, error) in enumerate(seen):
        assert not error, f"watcher {number}: {error}"
        assert events == expected[job_id], f"watcher {number} of {job_id} did not see what happened"
        assert finished == 1, f"watcher {number} was told the end {finished} times"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server."""
    with Server(tmp_path, JOBS) as running:
        yield running


def test_masses_of_watchers(server: Server, tmp_path: Path) -> None:
    """Thousands watch one server, a tenth without reading: each sees every event in order, once,
    and costs little (failure cases 20, 21).
    """
    count = figure(2000, 10_000)
    slow = count // 10
    pid, gate = server.process.pid, tmp_path / "gate"
    with server.client() as client, Watchers(server.target) as watchers:
        hot, *many = hold(client, 1 + count // WATCHERS_OF_ONE)
        loud = client.submit(
            "watchers.loud", {"count": MESSAGES, "size": MESSAGE_CHARS, "gate": str(gate)}, hold=True
        )
        warm = watchers.open([hot] * 100)
        until(lambda: watchers.answered() == warm, "the first are open")

        before = resident(pid)
        both = [job_id for other in many for job_id in (hot, other)]  # half of all watch one job
        fast = list(islice(cycle(both), count - slow - warm))
        hot_readers = warm + fast.count(hot)
        watchers.open(fast)
        watchers.open(list(islice(cycle(both), slow - LOUD_WATCHERS)), slow=True)
        watchers.open([loud.job_id] * LOUD_WATCHERS, slow=True, messages=True)
        began = time.monotonic()
        until(lambda: watchers.answered() == count, "everybody is served", guard(60))
        opened = time.monotonic() - began
        each = (resident(pid) - before) / (count - warm)
        assert watchers_of(client) == count

        quiet = resident(pid)
        loud.release()
        until(lambda: loud.refresh().revision > MESSAGES, "the loud job has spoken", 60)
        grown = resident(pid) - quiet
        with Caller(client, hot) as caller:
            for number, job_id in enumerate(many):
                client.release(job_id)
                if number % (len(many) // HOT_EVENTS) == 0:
                    show_all(client, watchers, hot, number + 1, hot_readers)
            client.release(hot)
            until(lambda: watchers.ended() >= count - slow, "all who read have come to the end", guard(60))
        gate.touch()
        loud.wait(30)
        assert watchers.ended() == count - slow, "one who does not read has come to the end"
        delays, hot_delays = watchers.delays(many), watchers.delays([hot])
        watchers.read()
        until(lambda: watchers.ended() == count, "the slow ones have come to the end", guard(60))

        print(f"{count} watchers opened in {opened:.1f} s, {each / KIB:.1f} KiB of server memory each")
        print(f"{MESSAGES} messages that {LOUD_WATCHERS} do not read: {grown / KIB:.0f} KiB")
        print(
            f"event to client p99: {p99(delays) * 1000:.0f} ms with {WATCHERS_OF_ONE // 2} on a job, p50 {hot_delays[len(hot_delays) // 2] * 1000:.0f} p99 {p99(hot_delays) * 1000:.0f} ms with {hot_readers}"
        )
        for name, times in caller.times.items():
            print(
                f"{name} meanwhile: {len(times)} calls, p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {p99(times) * 1000:.1f} ms"
            )
        expected = {
            **histories(client, [hot, *many], messages=False),
            **histories(client, [loud.job_id], messages=True),
        }
        assert_complete(watchers.seen(), expected)
        until(lambda: watchers_of(client) == 0, "nobody is left")
    assert each <= STREAM_MEMORY * (1 if LONG else 2)
    assert grown < FLAT
    assert p99(delays) < guard(EVENT_DELAY)
    assert p99(caller.times["GetJob"]) < guard(CALL_DELAY)
    assert p99(caller.times["SubmitJob"]) < guard(CALL_DELAY)


def test_all_come_back_at_once(server: Server) -> None:
    """A server that is killed with thousands of watches open serves them all again, and none misses
    an event (failure case 21).
    """
    count = figure(2000, 10_000)
    with server.client() as client, Watchers(server.target) as watchers:
        jobs = hold(client, count // WATCHERS_OF_ONE)
        watchers.open(list(islice(cycle(jobs), count)))
        until(lambda: watchers.answered() == count, "everybody is served", guard(60))
        for job_id in jobs:
            client.update(job_id, priority=1)
        server.kill()
        server.start()
        began = time.monotonic()
        for job_id in jobs[: len(jobs) // 2]:
            client.release(job_id)
        until(lambda: watchers_of(client) + watchers.ended() >= count, "everybody is back", guard(60))
        print(f"{count} watchers were back after {time.monotonic() - began:.1f} s")
        for job_id in jobs[len(jobs) // 2 :]:
            client.release(job_id)
        until(lambda: watchers.ended() == count, "everybody has come to the end", guard(60))
        assert_complete(watchers.seen(), histories(client, jobs, messages=False))


def test_watchers_that_leave_are_freed(server: Server, tmp_path: Path) -> None:
    """Watchers that cancel, or whose process is killed, are freed within a second; behind a dead
    link after one keepalive (failure case 19).
    """
    count = figure(200, 1000)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(server.client())
        jobs = hold(client, 10)
        cancelling, killed, silent = (stack.enter_context(Watchers(server.target)) for _ in range(3))
        for watchers in (cancelling, killed, silent):
            watchers.open(list(islice(cycle(jobs), count)))
        relay = stack.enter_context(Relay(server.target))
        watch = stack.enter_context(headrace.Client(relay.target)).watch(jobs[0])
        follower = Follower(Evidence(tmp_path / "log"), jobs[0], watch, relay.target)
        follower.open()
        for watchers in (cancelling, killed, silent):
            until(lambda: watchers.answered() == count, "everybody is served", guard(20))  # noqa: B023 - at once
        assert watchers_of(client) == 3 * count + 1

        os.kill(silent.process.pid, signal.SIGSTOP)
        relay.cut()
        cut = time.monotonic()
        cancelling.cancel()
        until(lambda: watchers_of(client) == 2 * count + 1, "those who cancelled are freed", guard(1))
        killed.process.kill()
        until(lambda: watchers_of(client) == count + 1, "those who were killed are freed", guard(1))
        client.release(jobs[0])
        client.handle(jobs[0]).wait(30)
        updates = follower.updates(guard(CLIENT_KEEPALIVE + 1))
        print(f"the client noticed a link that was cut after {time.monotonic() - cut:.1f} s")
        assert [update.status for update in updates if isinstance(update, JobEvent)] == MOVES
        until(lambda: watchers_of(client) == 0, "those behind a dead link are freed", guard(KEEPALIVE + 1))
        print(f"the server did after {time.monotonic() - cut:.1f} s")

        os.kill(silent.process.pid, signal.SIGCONT)
        left = count - count // len(jobs)  # one of the jobs has ended meanwhile
        until(lambda: watchers_of(client) == left, "those who were silent are back", guard(20))
