"""Watchers in masses, in a process of their own: what they do costs the test that measures the
server nothing.

    python -m support.watchers TARGET      commands on standard input, one answer to each on standard output

A watcher is the client's own watch (headrace._flows.watch) on a bare stream: it resumes where it
was, and notes every event that arrived, twice or not. A slow one reads its snapshot and then
nothing until it is told.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import grpc

from headrace._flows.watch import Watch
from headrace._transport.status import from_rpc_error
from headrace.errors import HeadraceError
from headrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

STREAMS = 500
"""Streams of one connection."""
PATIENCE = 120.0
TESTS = Path(__file__).parents[1]


class Watcher:
    """Follows one job to its end."""

    def __init__(self, stub: Any, target: str, job_id: str, *, slow: bool, messages: bool) -> None:
        self.job_id = job_id
        self.streams = 0
        """Streams on which the server has said something."""
        self.seen: list[tuple[int, str]] = []
        """Revision and status of each event."""
        self.delays: list[float] = []
        """Seconds from each event to here: both ends read the same clock."""
        self.finished = 0
        self.error = ""
        self.reading = asyncio.Event()
        self._stub = stub
        self._target = target
        self._request = job_service_pb2.WatchJobRequest(job_id=job_id, include_messages=messages)
        if not slow:
            self.reading.set()

    async def follow(self) -> None:
        """Watch until the job has ended, or for ever."""
        watch = Watch(self._request, timeout=None, patience=PATIENCE)
        while not watch.finished:
            stream = self._stub.WatchJob(watch.request())
            failure = None
            try:
                await self._read(stream, watch)
            except grpc.RpcError as error:
                failure = from_rpc_error(error, self._target)
            finally:
                stream.cancel()
            if not watch.finished:
                try:
                    await asyncio.sleep(watch.failed(failure, known=True))
                except HeadraceError as error:
                    self.error = f"{type(error).__name__}: {error}"
                    return

    async def _read(self, stream: Any, watch: Watch) -> None:
        first = True
        async for response in stream:
            update = response.update
            if first:
                first = False
                self.streams += 1
            if update.HasField("event"):
                status = job_pb2.JobStatus.Name(update.event.status).removeprefix("JOB_STATUS_")
                self.seen.append((update.event.revision, status))
                self.delays.append(time.time() - update.event.event_time.ToMicroseconds() / 1e6)
            self.finished += update.HasField("finished")
            watch.received(update)
            await self.reading.wait()


class Process:
    """What runs in the process."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._watchers: list[Watcher] = []
        self._of: defaultdict[str, list[Watcher]] = defaultdict(list)
        self._tasks: list[asyncio.Task[None]] = []
        self._stubs: list[Any] = []

    def open(self, jobs: Sequence[str], *, slow: bool, messages: bool) -> int:
        """One more watcher for each of these jobs; answers how many there are."""
        for job_id in jobs:
            number = len(self._watchers) // STREAMS
            if number == len(self._stubs):
                options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 1000)]
                channel = grpc.aio.insecure_channel(self._target, options)
                self._stubs.append(job_service_pb2_grpc.JobServiceStub(channel))
            watcher = Watcher(self._stubs[number], self._target, job_id, slow=slow, messages=messages)
            self._watchers.append(watcher)
            self._of[job_id].append(watcher)
            self._tasks.append(asyncio.get_running_loop().create_task(watcher.follow()))
        return len(self._watchers)

    def answered(self, streams: int) -> int:
        """How many watchers have been answered on so many streams."""
        return sum(watcher.streams >= streams for watcher in self._watchers)

    def reached(self, job_id: str, revision: int) -> int:
        """How many watchers of a job have come to a revision."""
        return sum(bool(one.seen) and one.seen[-1][0] >= revision for one in self._of[job_id])

    def read(self) -> None:
        """Let the slow ones read."""
        for watcher in self._watchers:
            watcher.reading.set()

    def ended(self) -> int:
        """How many watchers have come to an end."""
        return sum(task.done() for task in self._tasks)

    def delays(self, jobs: Sequence[str]) -> list[float]:
        """The delays of every event of these jobs, since they were asked for last."""
        found = []
        for watcher in self._watchers:
            if watcher.job_id in jobs:
                found += watcher.delays
                watcher.delays.clear()
        return sorted(found)

    def cancel(self) -> None:
        """Let every watcher go."""
        for task in self._tasks:
            task.cancel()

    def seen(self) -> list[tuple[str, list[tuple[int, str]], int, str]]:
        """For each watcher: its job, the events, how often it was told the end, its error."""
        return [(one.job_id, one.seen, one.finished, one.error) for one in self._watchers]

    async def obey(self) -> None:
        """Carry out commands until there are no more."""
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            name, given = json.loads(line)
            print(json.dumps(getattr(self, name)(**given)), flush=True)


class Watchers:
    """The process, from outside."""

    def __init__(self, target: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.watchers", target],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def open(self, jobs: Sequence[str], *, slow: bool = False, messages: bool = False) -> int:
        """One more watcher for each of these jobs; answers how many there are."""
        return int(self._ask("open", jobs=jobs, slow=slow, messages=messages))

    def answered(self, streams: int = 1) -> int:
        """How many watchers have been answered on so many streams."""
        return int(self._ask("answered", streams=streams))

    def reached(self, job_id: str, revision: int) -> int:
        """How many watchers of a job have come to a revision."""
        return int(self._ask("reached", job_id=job_id, revision=revision))

    def read(self) -> None:
        """Let the slow ones read."""
        self._ask("read")

    def ended(self) -> int:
        """How many watchers have come to an end."""
        return int(self._ask("ended"))

    def delays(self, jobs: Sequence[str]) -> list[float]:
        """Seconds from event to client, sorted, of every event of these jobs since they were asked
        for last.
        """
        return list(self._ask("delays", jobs=list(jobs)))

    def cancel(self) -> None:
        """Let every watcher go."""
        self._ask("cancel")

    def seen(self) -> list[tuple[str, list[tuple[int, str]], int, str]]:
        """For each watcher: its job, revision and status of each event, how often it was told the
        end, its error.
        """
        return [
            (job_id, [(revision, status) for revision, status in events], finished, error)
            for job_id, events, finished, error in self._ask("seen")
        ]

    def _ask(self, name: str, **given: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([name, given]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the watchers' process ended with {self.process.wait()}"
        return json.loads(answer)


async def main() -> None:
    """Watch what is told."""
    await Process(sys.argv[1]).obey()


if __name__ == "__main__":
    asyncio.run(main())
