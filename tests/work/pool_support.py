"""A pool for a test, a listener that remembers, and waits for facts."""

import asyncio
import contextlib
import itertools
import json
import os
import select
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.jobs import RunInfo
from headrace_server.domain.change import Message, Outcome
from headrace_server.work.executor import ProgressReport, RunKey, Types
from headrace_server.work.linux import process_tree
from headrace_server.work.pool.pool import Pool

LIMIT = 20.0
"""Seconds: a guard against hanging, not a promise."""

_numbers = itertools.count(1)


class Recorder:
    """A listener: every call as a tuple, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.concurrency: Mapping[str, int] = {}
        self.at: list[float] = []
        self._news = asyncio.Event()

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        self.at.append(time.monotonic())
        self._news.set()

    def slot_ready(
        self, slot: str, types: Types, errors: Mapping[str, str], concurrency: Mapping[str, int]
    ) -> None:
        """A slot is ready."""
        self.concurrency = concurrency
        self._note("ready", slot, types, errors)

    def slot_closing(self, slot: str) -> None:
        """A slot takes nothing new."""
        self._note("closing", slot)

    def refused(self, slot: str, run: RunKey) -> None:
        """A run was refused."""
        self._note("refused", slot, run)

    def begun(self, slot: str, run: RunKey) -> None:
        """A run has begun."""
        self._note("begun", slot, run)

    def progressed(self, slot: str, run: RunKey, progress: ProgressReport) -> None:
        """Progress."""
        self._note("progressed", slot, run, progress)

    def logged(self, slot: str, run: RunKey, messages: Sequence[Message], dropped: int) -> None:
        """Messages."""
        self._note("logged", slot, run, list(messages), dropped)

    def result_set(self, slot: str, run: RunKey, name: str, value: str) -> None:
        """A named result."""
        self._note("result_set", slot, run, name, value)

    def finished(self, slot: str, run: RunKey, outcome: Outcome) -> None:
        """A run has ended."""
        self._note("finished", slot, run, outcome)

    def slot_lost(self, slot: str, begun: Sequence[RunKey], unbegun: Sequence[RunKey], cause: str) -> None:
        """A slot is lost."""
        self._note("lost", slot, list(begun), list(unbegun), cause)

    def of(self, kind: str, run: RunKey | None = None) -> list[tuple[Any, ...]]:
        """The calls of a kind, of one run."""
        return [call for call in self.calls if call[0] == kind and (run is None or call[2] == run)]

    async def until(self, fact: Callable[[], Any], what: str) -> Any:
        """Wait for calls that make a fact true."""
        try:
            async with asyncio.timeout(LIMIT):
                while not (found := fact()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {LIMIT:g} s: {what}; calls: {self.calls[-20:]}") from None
        return found

    async def ready(self, count: int) -> None:
        """Wait until slots have become ready so often."""
        await self.until(lambda: len(self.of("ready")) >= count, f"{count} times ready")

    async def outcome(self, run: RunKey) -> Outcome:
        """Wait for the end of a run."""
        call = await self.until(lambda: self.of("finished", run), f"the end of {run}")
        outcome: Outcome = call[0][3]
        return outcome

    async def lost(self, count: int = 1) -> tuple[Any, ...]:
        """Wait for the count-th loss of a slot."""
        calls = await self.until(lambda: self.of("lost")[count - 1 :], f"loss {count}")
        call: tuple[Any, ...] = calls[0]
        return call

    def lost_slot(self, slot: str) -> tuple[Any, ...]:
        """What was told of the loss of a slot: begun, unbegun, cause."""
        return next(call[2:] for call in self.of("lost") if call[1] == slot)

    def texts(self, run: RunKey, source: int | None = None) -> list[str]:
        """The messages of a run."""
        calls = self.of("logged", run)
        return [
            message.text
            for call in calls
            for message in call[3]
            if source is None or message.source == source
        ]


class Workshop:
    """A pool with its recorder."""

    def __init__(self, pool: Pool, recorder: Recorder, folder: Path) -> None:
        self.pool = pool
        self.recorder = recorder
        self.folder = folder

    def send(self, type_name: str, slot: str = "worker-1", **parameters: Any) -> RunKey:
        """Hand a run to a slot; paths are given as text."""
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()}
        key = RunKey(f"job-{next(_numbers)}", 1)
        about = {"owner": "me", "session_id": "s", "description": "a job"}
        run = RunInfo(*key, type_name, labels={"a": "b"}, parameters=json.dumps(plain), **about)
        self.pool.send(slot, run)
        return key

    async def run(self, type_name: str, slot: str = "worker-1", **parameters: Any) -> Outcome:
        """Run a job to its end."""
        return await self.recorder.outcome(self.send(type_name, slot, **parameters))

    async def started(self, type_name: str, slot: str = "worker-1", **parameters: Any) -> tuple[RunKey, int]:
        """Start a job that notes its pid in a file."""
        file = self.folder / f"started-{next(_numbers)}"
        key = self.send(type_name, slot, started=file, **parameters)
        return key, int(await note_of(file))


@contextlib.asynccontextmanager
async def workshop(
    folder: Path,
    *,
    size: int = 1,
    modules: Sequence[str] = ("work.pool_jobs",),
    ready: bool = True,
    **more: Any,
) -> AsyncIterator[Workshop]:
    """A pool that runs, with its slots ready."""
    recorder = Recorder()
    pool = Pool(
        listener=recorder,
        size=size,
        modules=modules,
        entry_points=False,
        workspace_root=folder / "workspaces",
        **more,
    )
    await pool.start()
    try:
        if ready:
            await recorder.ready(size)
        yield Workshop(pool, recorder, folder)
    finally:
        await pool.close()
        # Else what other tests kill leaves its orphans to this process, which reaps none.
        process_tree._prctl(process_tree._PR_SET_CHILD_SUBREAPER, 0)


async def fact(check: Callable[[], Any], what: str) -> Any:
    """Wait for a fact outside the pool."""
    deadline = time.monotonic() + LIMIT
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {LIMIT:g} s: {what}")
        await asyncio.sleep(0.002)
    return found


async def note_of(file: Path) -> str:
    """What a job has noted in a file, once it has."""
    return str(await fact(lambda: file.exists() and file.read_text(), f"file {file}"))


def alive(*pids: int | None) -> list[int]:
    """Those of the processes that are there, as zombies too."""
    return [pid for pid in pids if pid is not None and Path(f"/proc/{pid}").exists()]


def children_of(pid: int | None) -> str:
    """The children of a process, zombies too, as the kernel lists them."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def open_fds() -> set[str]:
    """The descriptors of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


class Witness:
    """Watches processes by pidfd, so that a pid that is used again deceives nobody."""

    def __init__(self, *pids: int) -> None:
        self._fds = {pid: os.pidfd_open(pid) for pid in set(pids)}

    def alive(self) -> list[int]:
        """Those that have not ended."""
        return [pid for pid, fd in self._fds.items() if not select.select([fd], [], [], 0)[0]]

    async def gone(self) -> None:
        """Wait until all have ended."""
        await fact(lambda: not self.alive(), f"the end of processes {sorted(self._fds)}")

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in self._fds.values():
            os.close(fd)
