"""Have several runs of one type in this process, as tasks of one event loop.

    first run ──> loop ──┬─ frame ─> "begun" ─> task ─> its tasks and threads end ─> "finished" ─┐
                         └──────────────────────── until none is left <──────────────────────────┘
                            then the child sweeps and compares its process, as after any run

Every 50 ms the loop looks at the stop page, and cancels the runs that are to stop: no signal is
handled here. A run's context tells whose task, thread or printed line something is.

**Closing.** When a run was cut off where it stood, has left threads, or the child is worn, it takes
nothing new: the server is told, takes back what waits, and the child retires when the others have
ended. The end of a run whose threads go on counts when they have ended, or the process is gone.

Everything of this module runs in callbacks of the loop, not in tasks: code of a job may cancel all
tasks that there are.
"""

import asyncio
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from headrace import jobs
from headrace_server.work.child.left_threads import PATIENCE
from headrace_server.work.child.reporter import ChildReporter
from headrace_server.work.child.shared.loop_watch import LoopWatch
from headrace_server.work.child.shared.run_text import RunText
from headrace_server.work.child.shared.shared_run import SharedRun
from headrace_server.work.child.speakers import works_for
from headrace_server.work.ipc.channel import Receiver
from headrace_server.work.ipc.frames import (
    LEAVE,
    SOURCE_STDERR,
    SOURCE_STDOUT,
    encode,
    finished,
    is_run,
    run_of,
)
from headrace_server.work.ipc.stop_page import StopPage
from headrace_server.work.linux import workspace

TICK = 0.05
"""Seconds between two looks at the stop page, and for which words are held."""

_FRAMES = 32
_SOURCES = {1: SOURCE_STDOUT, 2: SOURCE_STDERR}
"""By the number of a standard stream."""
_PAUSE_FIRST, _PAUSE_MAX = 0.001, TICK
_END_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Process:
    """The process that is shared.

    worn: whether it has had enough, after so many runs. prepare: called in the context of each run.
    """

    sock: socket.socket
    receiver: Receiver
    page: StopPage
    send: Callable[[bytes], None]
    types: Mapping[str, jobs.JobDefinition]
    resources: jobs.Resources
    watch: LoopWatch
    workspaces: Path
    max_results: int
    max_messages: int
    max_output: int
    worn: Callable[[int], bool]
    prepare: Callable[[], object]


class _Nothing(deque[Any]):
    """Callbacks that are never called: to ask for the next raises IndexError."""

    def append(self, _callback: object, /) -> None:
        """Forget it."""


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that a forked process can leave."""

    _ready: "deque[Any]"

    def forget(self) -> None:
        """What would be called next belongs to the process that was forked."""
        self._ready = _Nothing()
        self.stop()


class Sharing:
    """The runs of one type, from the first until none is left."""

    def __init__(self, process: Process, frame: bytes) -> None:
        self.closing = False
        """Whether it takes nothing new, and the process is to be replaced."""
        self.left_threads: set[str] = set()
        """Job types whose runs have left threads."""
        self.untaken = b""
        """A run that was taken and has no place here."""
        self.count = 0
        self._process = process
        self._first = frame
        self._type = run_of(frame)[1].type
        self._runs: dict[int, SharedRun] = {}
        self._due: deque[Callable[[], None]] = deque()
        self._pid = os.getpid()
        self._sending = False
        self._loop = _Loop()
        self._executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="headrace-remover")

    def serve(self) -> list[tuple[SharedRun, jobs.Ending]]:
        """Serve until no run is left but those whose threads go on; these are answered."""
        loop, events = self._loop, asyncio.events
        policy = events._event_loop_policy  # type: ignore[attr-defined] # noqa: SLF001 - asking for it makes one
        loop.set_default_executor(self._executor)
        loop.set_task_factory(self._new_task)
        loop.add_reader(self._process.sock.fileno(), self._read)
        self._process.watch.begin(self._blocked)
        self._begin(self._first)
        self._tick()
        try:
            while not self._idle():
                self._turn()
            self._end()
        finally:
            self._process.watch.end()
            events._event_loop_policy = policy  # type: ignore[attr-defined] # noqa: SLF001 - nothing that a run left
        return [(run, run.ending) for run in self._runs.values()]

    def _idle(self) -> bool:
        return all(run.held for run in self._runs.values())

    def _turn(self) -> None:
        try:
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - sys.exit in a task of a run comes out here too
            if os.getpid() == self._pid:
                self._process.send(encode(("note", f"code in a shared worker raised {type(error).__name__}")))
        if os.getpid() != self._pid:  # a fork has waited for something: there is no loop for it
            os._exit(1)

    def _end(self) -> None:
        loop = self._loop
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        try:
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=_END_SECONDS))
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), _END_SECONDS))
        except BaseException:  # noqa: BLE001 - code of jobs hangs, or raises whatever it likes
            self.closing = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._remover.shutdown()
        loop.close()

    # Runs

    def _read(self) -> None:
        for _ in range(_FRAMES):
            if self.closing or self.untaken:
                return
            try:
                frame = self._process.receiver.frame(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if frame == LEAVE or not frame:
                self._close()
            elif is_run(frame) and run_of(frame)[1].type == self._type:
                self._begin(frame)
            else:  # for this process when the runs here have ended, which the server knows already
                self.untaken = frame
                self._unwatch()
                return

    def _begin(self, frame: bytes) -> None:
        process = self._process
        ticket, info = run_of(frame)
        text = RunText(ticket, process.max_output, self._send, self._due.append)
        reporter = ChildReporter(
            ticket,
            self._send,
            process.page,
            workspace.path_of(process.workspaces, info.job_id, info.claim),
            self,
            streams=text,
            messages=process.max_messages,
        )
        text.before = reporter.flush_messages
        run = self._runs[ticket] = SharedRun(ticket, info, reporter, text)
        run.code = jobs.TaskRun(
            process.types[info.type],
            info,
            reporter,
            process.resources,
            beside=lambda: len(run.tasks) > 1,
            max_results=process.max_results,
        )
        self._send(encode(("begun", ticket, True)))
        context = copy_context()
        context.run(works_for.set, run)
        context.run(process.prepare)
        task = self._loop.create_task(run.code.end(), context=context)
        task.add_done_callback(partial(self._code_ended, run, run.code))

    def _new_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **named)
        context = named.get("context")
        run = works_for.get() if context is None else context.get(works_for)
        if isinstance(run, SharedRun):
            run.has(task)
        return task

    def _code_ended(self, run: SharedRun, code: jobs.TaskRun, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled():
            task.exception()  # it is known
        run.code_ended(code.ending)
        self._settle(run, _PAUSE_FIRST)

    def _settle(self, run: SharedRun, pause: float) -> None:
        """Say the end of a run when nothing of it goes on any more."""
        works = 0.0 if run.tasks else run.works()
        if not run.tasks and not works:
            self._finish(run)
            return
        if works > PATIENCE and not run.held:
            run.held = True
            self.left_threads.add(run.info.type)
            self._close()
        self._loop.call_later(pause, self._settle, run, min(_PAUSE_MAX, pause * 2))
        if self._idle():
            self._loop.stop()

    def _finish(self, run: SharedRun) -> None:
        run.text.close()
        if run.reporter.has_workspace:  # a large one takes long to remove
            removal = self._loop.run_in_executor(self._remover, run.reporter.close)
            removal.add_done_callback(lambda _removal: self._finished(run))
        else:
            run.reporter.close()
            self._finished(run)

    def _finished(self, run: SharedRun) -> None:
        run.over = True
        del self._runs[run.ticket]
        self.count += 1
        self._send(finished(run.ticket, run.ending, held=False))
        if run.ending.interrupted or self._process.worn(self.count):
            self._close()
        if not self._runs:
            self._read()
        if self._idle():
            self._loop.stop()

    def _close(self) -> None:
        if not self.closing:
            self.closing = True
            self._unwatch()
            self._send(encode(("closing",)))

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._process.sock.fileno())

    # The loop

    def _tick(self) -> None:
        self._loop.call_later(TICK, self._tick)
        self._process.watch.tick()
        while self._due:
            self._due.popleft()()
        page = self._process.page
        for run in list(self._runs.values()):
            if page.flagged(run.ticket):
                run.stop(page.insisted(run.ticket))

    def flush_at(self, _when: float, reporter: ChildReporter) -> None:
        """Flush a reporter with the next tick: see Flusher."""
        self._due.append(reporter.flush)

    def _send(self, frame: bytes) -> None:
        before, self._sending = self._sending, True
        self._process.send(frame)
        self._sending = before

    def _blocked(self, seconds: float) -> None:
        """Say who has the loop for so long; not where it waits for the server to listen."""
        if self._sending:
            return
        task = asyncio.current_task(self._loop)
        runs = list(self._runs.values())
        run = next((run for run in runs if task in run.tasks), None)
        who = f"job {run.info.job_id} of type {run.info.type}" if run else f"a callback of type {self._type}"
        frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - the only way
        where = f" (at {frame.f_code.co_filename}:{frame.f_lineno})" if frame else ""
        text = (
            f"{who} has kept the event loop of its worker for {seconds:.0f} s{where}: the {len(runs)} runs "
            "in it do nothing else, and see no stop. What blocks belongs into a thread: asyncio.to_thread"
        )
        self._process.send(encode(("note", text)))

    # Whose something is: see Speakers

    def current(self) -> SharedRun | None:
        """The run for which the present code works."""
        run = works_for.get()
        return run if isinstance(run, SharedRun) and not run.over else None

    def gave(self, run: object, future: "Future[Any]") -> None:
        """A run has given work to a thread of an executor."""
        if isinstance(run, SharedRun):
            run.gave(future)

    def starts(self, thread: threading.Thread) -> None:
        """Have a thread that a run starts work for it."""
        run = self.current()
        if run is None or not run.starts(thread, own=not self._process.resources.starts_threads):
            return
        body = thread.run

        def within() -> None:
            works_for.set(run)
            body()

        thread.run = within  # type: ignore[method-assign] # of this one

    def said(self, stream: int, text: str) -> bool:
        """The present code prints; False when it works for no run."""
        run = self.current()
        if run is not None:
            run.text.write(_SOURCES[stream], text)
        return run is not None

    def forked(self) -> None:
        """Begin anew in a process that a run has forked."""
        self._loop.forget()
        self._due.clear()
        if (run := self.current()) is not None:
            run.text.forked()
            run.reporter.forked(self)
