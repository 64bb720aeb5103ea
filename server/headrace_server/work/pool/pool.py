"""The pool: slots, each with a child that runs jobs, and the supervisor above the children.

    dispatcher ─────Executor──────> Pool ──> Slot ──> RunTracker     what is known of each run
               <─ExecutorListener─           │  └──> ChildConnection  frames, stop page, output: to the child itself
                                             └─────> SupervisorClient spawn, signals, ends: to the supervisor

It is an Executor, on the event loop's thread alone; nothing here waits for a child. Anything below
may die at any time: a child (one slot is lost, another child is started), the supervisor (every
slot is lost, another supervisor is started), or this process (the supervisor kills all below it).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from headrace.jobs import RunInfo
from headrace_server.work.catalog.path import path_of_jobs
from headrace_server.work.child import child
from headrace_server.work.executor import ExecutorListener, RunKey
from headrace_server.work.linux import workspace
from headrace_server.work.pool.going import Going
from headrace_server.work.pool.left_log import LeftLog
from headrace_server.work.pool.output import OutputLimits
from headrace_server.work.pool.slot import BACKOFF_FIRST, BACKOFF_MAX, Slot, State, cause_of
from headrace_server.work.pool.spare import Spare
from headrace_server.work.pool.supervisor_client import SupervisorClient

log = logging.getLogger(__name__)

SILENCE = 8.0
"""Seconds of silence after which server and supervisor take each other for dead.

That is less than the lease of 10 s.
"""

_SOUND_LIFE = 10.0
"""Seconds after which a supervisor's end is no sign that the next one will end at once as well."""


class Pool:
    """The local pool of worker processes.

    modules, entry_points: where jobs are found. workspace_root: a folder of its own (Home).
    lock_fds: descriptors that are locks, held by the supervisor too. max_jobs_per_child runs, or
    resident memory over max_memory_bytes after a run, end a child, and another takes its place;
    fresh: each run does. max_results bytes of all results of a run. output: what is kept of the
    output of each; of its own messages as many. target: where clients of jobs call this server.
    fence: asked from another thread, when by CLOCK_BOOTTIME all children are to be dead unless it
    says otherwise by then.
    """

    def __init__(
        self,
        *,
        listener: ExecutorListener,
        size: int,
        modules: Sequence[str],
        entry_points: bool,
        workspace_root: Path,
        lock_fds: Sequence[int] = (),
        nice: int = 0,
        target: str = "",
        max_jobs_per_child: int = 10_000,
        max_memory_bytes: int | None = None,
        max_results: int = 1 << 20,
        fresh: bool = False,
        output: OutputLimits | None = None,
        silence: float = SILENCE,
        fence: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._root = workspace_root.absolute()
        output = output or OutputLimits()
        settings = child.ChildSettings(
            modules=list(modules),
            entry_points=entry_points,
            path=path_of_jobs(),
            workspace_root=str(self._root),
            nice=nice,
            max_jobs=max_jobs_per_child,
            max_memory=max_memory_bytes,
            max_results=max_results,
            max_messages=output.messages,
            fresh=fresh,
            target=target,
            max_output=output.size,
        )
        self._supervision = SupervisorClient(
            child.__name__,
            asdict(settings),
            lock_fds,
            silence,
            fence=fence,
            on_exited=self._child_ended,
            on_lost=self._all_ended,
        )
        left_log = LeftLog()
        self._spare = Spare(self._supervision, self._settled)
        self._going = Going(self._supervision)
        self._slots = {
            name: Slot(
                name,
                listener,
                self._supervision,
                self._leave_workspace,
                output=output,
                left_log=left_log,
                spare=self._spare,
                going=self._going,
                slots=size,
            )
            for name in (f"worker-{number}" for number in range(1, size + 1))
        }
        self._names = tuple(self._slots)
        self._removals: set[asyncio.Future[bool]] = set()
        self._started_at = 0.0
        self._failures = 0
        self._restart: asyncio.TimerHandle | None = None
        self._closing = False

    def leave_out(self, modules: Collection[str]) -> None:
        """Have children that are started from now on leave out these modules.

        The children would not come to an end of the import.
        """
        self._supervision.change(skip=sorted(modules))

    async def start(self) -> None:
        """Start the supervisor and ask it for the children. Raises OSError.

        Each slot is ready when slot_ready says so.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._start()

    async def close(self) -> None:
        """Kill what is left, with everything below it.

        Every slot is reported lost, and no process is left.
        """
        self._closing = True
        if self._restart is not None:
            self._restart.cancel()
        for slot in self._slots.values():
            slot.abandon()
        self._spare.abandon()
        await self._supervision.stop()
        if self._removals:
            await asyncio.wait(self._removals)

    @property
    def slots(self) -> Sequence[str]:
        """worker-1, worker-2 and so on."""
        return self._names

    def send(self, slot: str, run: RunInfo) -> None:
        """Hand a run to a slot.

        While its child is being replaced, the run waits for the next one.
        """
        self._slots[slot].send(run)

    def recall(self, slot: str) -> Sequence[RunKey]:
        """Take back every run that the slot's child has not taken, in the order of sending."""
        return self._slots[slot].recall()

    def flag_stop(self, slot: str, run: RunKey, reason: str) -> None:
        """Let the run's code see that it is to stop. Nothing happens when the run has ended."""
        self._slots[slot].flag_stop(run, reason)

    def terminate(self, slot: str, run: RunKey) -> None:
        """SIGTERM to the run's code, which flags it too. Nothing happens when the run has ended."""
        self._slots[slot].terminate(run)

    def pause(self, slot: str) -> None:
        """Read nothing of what the slot's child says and writes, until resume.

        The child waits when there is no room.
        """
        self._slots[slot].pause()

    def resume(self, slot: str) -> None:
        """Read again."""
        self._slots[slot].resume()

    def renew(self, slot: str, since: float) -> None:
        """Have the child of a ready slot go when it has done what it was handed; see contract."""
        self._slots[slot].renew(since)

    def kill(self, slot: str) -> None:
        """SIGKILL to the child; slot_lost follows when nothing is left below it."""
        self._slots[slot].kill()

    def counters(self) -> Mapping[str, int]:
        """Return the numbers of children, restarts and runs.

        `children`: alive and ready. `restarts`: children started after the first of each slot.
        `runs`: begun.
        """
        slots = self._slots.values()
        return {
            "children": sum(slot.state is State.READY for slot in slots),
            "restarts": sum(max(0, slot.lives - 1) for slot in slots),
            "runs": sum(slot.runs.begun for slot in slots),
        }

    def pid(self, slot: str) -> int | None:
        """The process of the slot's child, for logs and tests."""
        life = self._slots[slot].life
        return None if life is None else self._supervision.pids.get(life)

    @property
    def supervisor_pid(self) -> int | None:
        """The process of the supervisor, for logs and tests."""
        return self._supervision.pid

    def _start(self) -> None:
        self._restart = None
        self._started_at = time.monotonic()
        self._supervision.start()
        for slot in self._slots.values():
            slot.spawn()

    def _child_ended(self, life: int, status: int | None, note: str) -> None:
        slot = next((slot for slot in self._slots.values() if slot.life == life), None)
        if slot is not None:
            slot.ended(cause_of(status, note))
            if not self._closing:
                slot.spawn_again()
        elif not self._spare.ended(life):
            self._going.ended(life)

    def _settled(self) -> bool:
        """Whether every slot has a child that is up."""
        return not self._closing and all(slot.state is State.READY for slot in self._slots.values())

    def _all_ended(self) -> None:
        self._going.clear()
        self._spare.clear()
        for slot in self._slots.values():
            slot.abandon()
            slot.ended("killed when the pool was closed" if self._closing else "killed with its supervisor")
        if self._closing:
            return
        log.error("the supervisor of the worker processes has died; another is being started")
        if time.monotonic() - self._started_at > _SOUND_LIFE:
            self._failures = 0
        self._start_later()

    def _start_later(self) -> None:
        """At once after a sound life, else after a wait that doubles from 0.1 s to 5 s."""
        wait = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._failures - 1, 10)) if self._failures else 0
        self._failures += 1
        self._restart = asyncio.get_running_loop().call_later(wait, self._start_again)

    def _start_again(self) -> None:
        try:
            self._start()
        except OSError:
            log.exception("the supervisor could not be started")
            self._start_later()

    def _leave_workspace(self, run: RunKey) -> None:
        """The child that would have removed it is dead. A thread does it: the tree may be huge."""
        path = workspace.path_of(self._root, run.job_id, run.claim)
        removal = asyncio.get_running_loop().run_in_executor(None, workspace.remove, path)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        removal.add_done_callback(partial(_tell_removal, path))


def _tell_removal(path: Path, removal: "asyncio.Future[bool]") -> None:
    if not removal.cancelled() and not removal.result():
        log.warning(workspace.LEFT.format(path))
