"""A long mixed load on one server, then rest: everything that was taken is given back."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from headrace import Client, JobHandle, RetryPolicy
from support.figures import figure, seed
from support.server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(figure(240, 1500))]

WARM_UP = figure(8, 60)
SECONDS = figure(30, 600)
CALLERS = 4
MIB = 1 << 20
LATE = {"server_threads": 4, "worker_threads": 1}
"""Threads that the warm-up may not have started yet: of the pools of asyncio and gRPC; that of a
worker's reports.
"""


@dataclass(frozen=True)
class Taken:
    """What a server that rests has taken: of the machine, in numbers and bytes."""

    processes: int
    server_descriptors: int
    server_threads: int
    server_memory: int
    supervisor_descriptors: int
    supervisor_threads: int
    supervisor_memory: int
    worker_descriptors: int
    worker_threads: int
    worker_memory: int
    workspaces: int
    log: int

    @classmethod
    def by(cls, server: Server) -> "Taken":
        """What it has taken now; of the workers that one which has the most."""
        main = server.process.pid
        (supervisor,) = (
            pid for pid in children(main) if b"work.child.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        workers = children(supervisor)
        return cls(
            len(server.processes()),
            descriptors(main),
            status(main, "Threads"),
            status(main, "VmRSS") << 10,
            descriptors(supervisor),
            status(supervisor, "Threads"),
            status(supervisor, "VmRSS") << 10,
            max(map(descriptors, workers)),
            max(status(pid, "Threads") for pid in workers),
            max(status(pid, "VmRSS") for pid in workers) << 10,
            sum(1 for _ in Path(str(server.settings["workspace"])).iterdir()),
            (server.folder / "headrace.db-wal").stat().st_size,
        )

    def over(self, before: "Taken") -> list[str]:
        """The names of what has grown: memory by more than 10 % and 16 MiB, anything else at all,
        but for late threads.
        """
        now, then = asdict(self), asdict(before)
        return [
            name
            for name, value in now.items()
            if value
            > (then[name] * 1.1 + 16 * MIB if name.endswith("memory") else then[name] + LATE.get(name, 0))
        ]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def status(pid: int, name: str) -> int:
    """A number of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


class Caller:
    """One of those who use the server at once: a thread, and a connection that it makes anew now
    and then.
    """

    def __init__(self, server: Server, number: int, grown: int, until_time: float) -> None:
        self.done: Counter[str] = Counter()
        self._server = server
        self._folder = server.folder / f"caller-{number}"
        self._folder.mkdir(exist_ok=True)
        self._random = random.Random(grown + number)
        self._end = until_time
        self._notes = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> BaseException | None:
        """Wait for its end; answer what went wrong."""
        self._thread.join()
        return self._error

    def _run(self) -> None:
        try:
            while time.monotonic() < self._end:
                with self._server.client() as client:
                    for _ in range(25):
                        name = self._random.choices(list(DEEDS), WEIGHTS)[0]
                        job = DEEDS[name](self, client)
                        self.done[name] += 1
                        if job is not None:
                            client.delete(job.job_id)  # else the store's cache grows as it should
        except BaseException as error:  # noqa: BLE001 - answered by join
            self._error = error

    def note(self) -> str:
        """A file for a job to write to."""
        self._notes += 1
        return str(self._folder / str(self._notes))

    def ended(self, job: JobHandle, status: str = "SUCCEEDED") -> JobHandle:
        """Wait for an end as it is to be."""
        found = job.wait(60)
        assert found.status == status, found
        return job

    def echo(self, client: Client) -> JobHandle:
        """Parameters and a result of some size."""
        return self.ended(
            client.submit("test.echo", {"data": b"x" * self._random.choice([10, 1000, 300_000])})
        )

    def follow(self, client: Client) -> JobHandle:
        """A watch to the end."""
        job = client.submit("test.report", {"total": 200})
        assert list(job.watch(include_messages=True))
        return job

    def leave(self, client: Client) -> JobHandle:
        """A watch that is left in the middle."""
        job = client.submit("test.report", {"total": 200})
        with closing(job.watch()) as watch:
            next(watch)
        return self.ended(job)

    def stop(self, client: Client) -> JobHandle:
        """A stop that is obeyed."""
        note = self.note()
        job = client.submit("test.obedient", {"started": note})
        until(Path(note).exists, "the job runs")
        assert job.stop(wait_timeout=60).job.status == "ABORTED"
        return job

    def kill(self, client: Client) -> JobHandle:
        """A stop that is not, with a process in a session of its own."""
        note = self.note()
        job = client.submit("test.stubborn", {"started": note, "grandchild": self.note()})
        until(Path(note).exists, "the job runs")
        assert job.stop(grace_period=0, wait_timeout=60).job.status == "ABORTED"
        return job

    def die(self, client: Client) -> JobHandle:
        """A job that ends its worker."""
        how = self._random.choice(["exit", "kill", "segfault"])
        return self.ended(client.submit("test.die", {"how": how}), "FAILED")

    def retry(self, client: Client) -> JobHandle:
        """A job that fails twice."""
        policy = RetryPolicy(max_attempts=3, initial_backoff=timedelta(milliseconds=5))
        return self.ended(client.submit("test.flaky", {"until": 3}, retry_policy=policy))

    def write(self, client: Client) -> JobHandle:
        """Output by every way, and a flood of it."""
        client.delete(self.ended(client.submit("test.output")).job_id)
        return self.ended(client.submit("test.flood", {"lines": 3000}))

    def workspace(self, client: Client) -> JobHandle:
        """A private directory at each kind of end."""
        how = self._random.choice(["return", "raise", "die"])
        job = client.submit("test.workspace", {"how": how})
        return self.ended(job, "SUCCEEDED" if how == "return" else "FAILED")

    def orphan(self, client: Client) -> JobHandle:
        """A process that a job leaves behind."""
        return self.ended(client.submit("test.orphan", {"note": self.note()}))

    def look(self, client: Client) -> None:
        """Lists, counts and what the server says of itself."""
        assert len(client.list_page(page_size=50).items) <= 50
        client.count(group_by=["STATUS"])
        client.server_info()


DEEDS: dict[str, Callable[[Caller, Client], JobHandle | None]] = {
    "echo": Caller.echo, "follow": Caller.follow, "leave": Caller.leave, "stop": Caller.stop, "kill": Caller.kill,
    "die": Caller.die, "retry": Caller.retry, "write": Caller.write, "workspace": Caller.workspace,
    "orphan": Caller.orphan, "look": Caller.look,
}  # fmt: skip
WEIGHTS = [10, 5, 5, 4, 1, 2, 3, 2, 3, 1, 4]


def load(server: Server, grown: int, seconds: float) -> Counter[str]:
    """Use the server for some time; answer what was done."""
    end = time.monotonic() + seconds
    callers = [Caller(server, number, grown, end) for number in range(CALLERS)]
    wrong = [error for error in [caller.join() for caller in callers] if error is not None]
    if wrong:
        raise AssertionError(f"{wrong[0]!r}, and {len(wrong) - 1} callers more") from wrong[0]
    return sum((caller.done for caller in callers), Counter())


def rested(server: Server) -> Taken:
    """What it has taken once nobody calls and every worker is up."""
    with server.client() as client:
        until(lambda: client.count().total == 0, "no job is left")
        until(lambda: client.server_info().counters["slots_ready"] == 2, "both workers are up")
        until(lambda: client.server_info().counters["watchers"] == 0, "no watch is open")
    log = server.folder / "headrace.db-wal"
    until(lambda: log.stat().st_size == 0, "the log is written back")
    return Taken.by(server)


def test_a_mixed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    """After submits, watches, stops, kills, retries and floods the server rests with what it had
    before: descriptors, threads, processes, workspaces, log, memory.
    """
    grown = seed()
    server = Server(tmp_path, workers=2).start()
    try:
        load(server, grown, WARM_UP)
        before = rested(server)
        done = load(server, grown + CALLERS, SECONDS)
        rested(server)
        # What is on its way out is waited for: a connection that is being closed.
        after = before

        def back() -> bool:
            nonlocal after
            after = Taken.by(server)
            return not after.over(before)

        try:
            until(back, "everything is given back")
        finally:
            print(f"in {SECONDS} s:", ", ".join(f"{count} {name}" for name, count in done.most_common()))
            for name, value in asdict(after).items():
                print(f"{name:24} {asdict(before)[name]:>14,} {value:>14,}")
        assert set(done) == set(DEEDS)
    finally:
        server.close()
