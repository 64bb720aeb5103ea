"""A child: the process in which jobs run, forked by the supervisor: one at a time, as a rule.

    socket ──run──> take ─> "begun" ─> the job's code ─> its processes end ─> its output is read
                      ▲                                      ─> its workspace goes ─> "finished" ─┐
                      └──────────────────────── or "retiring", and exit <─────────────────────────┘

Three rules make the pool's knowledge exact, whenever this process dies:

- It takes a run from the socket only when the one before is finished: what lies there can be
  recalled.
- It says "begun" before the first line of the job's code. A run it took and never called so has run
  no code. One of a type that it has not loaded it refuses instead, and the run goes back to the
  queue at no cost.
- It says "finished" as the last thing of all, when nothing of the run is left.

A run that was cut off where it stood, by a signal or a cancellation, is the last of its process:
what it was using (a connection in the middle of an answer, a lock) would be the next one's. So is
one that has left threads, and its end counts when the process is gone.

Runs of a type with a concurrency are in the process together (`shared.sharing`): for these the
three rules hold one by one, but processes are swept, and the process is compared, when all of them
have ended.

SIGTERM reaches the job's code only if the stop page names the ticket of the current run. So one
that was meant for the run before, and came late, does nothing.

It imports no gRPC, no SQLAlchemy and no pydantic; the modules of jobs may import what they like.
"""

import atexit
import contextlib
import faulthandler
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from headrace import jobs
from headrace_server.work.child.captured_streams import Streams
from headrace_server.work.child.followed_handlers import follow_handlers
from headrace_server.work.child.forks import Forks
from headrace_server.work.child.garbage import Garbage
from headrace_server.work.child.left_threads import LeftThreads
from headrace_server.work.child.necessities import Necessities
from headrace_server.work.child.process_state import ProcessState
from headrace_server.work.child.process_traits import quick_traits, slow_traits
from headrace_server.work.child.reporter import ChildReporter, Flusher
from headrace_server.work.child.shared.loop_watch import LoopWatch
from headrace_server.work.child.shared.sharing import Process, Sharing
from headrace_server.work.child.speakers import Speakers
from headrace_server.work.child.surroundings import Surroundings
from headrace_server.work.ipc.channel import Receiver, send
from headrace_server.work.ipc.frames import LEAVE, encode, finished, run_of
from headrace_server.work.ipc.stop_page import StopPage
from headrace_server.work.linux import process_tree, workspace

_EXIT_SECONDS = 5
_EXIT_SECONDS_HELD = 1
"""Seconds for the exit where the end of a run waits for it."""
_NAMES_SHOWN = 10
_KEPT = "A worker keeps none from one job to the next: see docs/jobs.md."
_PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """The settings of every child of a pool.

    `skip`: modules that are not to be imported. `fresh`: each run is the only one of its child.

    max_memory: bytes of resident memory, None for any. max_results: bytes of all results of a run.
    max_messages, max_output (characters): of a run that shares its child. target: where a Client of a job finds this server; empty: where the
    environment says.
    """

    modules: Sequence[str]
    entry_points: bool
    path: Sequence[str]
    workspace_root: str
    nice: int
    max_jobs: int
    max_memory: int | None
    max_results: int
    max_messages: int
    target: str = ""
    skip: Sequence[str] = ()
    fresh: bool = False
    max_output: int = 1 << 20


def tell_clients(target: str) -> None:
    """Tell a Client of a job that it is in a worker, and where its own server is."""
    os.environ["HEADRACE_WORKER"] = "1"
    if target:
        os.environ["HEADRACE_TARGET"] = target


def main(told: Mapping[str, Any], supervisor: int, fds: Sequence[int]) -> NoReturn:
    """Run a child in a process just forked, with the descriptors of a slot.

    Those are the socket, the stop page and the two pipes.
    """
    settings = ChildSettings(**told)
    # What spawn and forkserver start would import the supervisor as the main module of the job's
    # program.
    sys.modules["__main__"] = ModuleType("__main__")
    process_tree.die_with_parent(supervisor)
    os.setsid()
    process_tree.become_subreaper()
    keep_only(fds)
    reset_signals()
    os.nice(settings.nice)
    tell_clients(settings.target)
    channel, page, *outputs = fds
    child = Child(settings, socket.socket(fileno=channel), StopPage(page), (outputs[0], outputs[1]))
    faulthandler.enable(file=2)
    child.load()
    child.serve()
    child.leave()


def keep_only(fds: Sequence[int]) -> None:
    """Close every descriptor that is neither one of these nor a standard stream.

    That closes those of the supervisor: its control socket, and the lock on the store.
    """
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - Path objects would open more
        fd = int(name)
        if fd > 2 and fd not in fds:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(fd)


def reset_signals() -> None:
    """Undo what the supervisor ignores: SIGHUP and SIGINT.

    SIGINT gets the handler of Python: if it stayed ignored, it would be so in every subprocess too.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Child:
    """The main thread of a child."""

    _threads: LeftThreads
    _state: ProcessState
    _garbage: Garbage

    def __init__(
        self, settings: ChildSettings, sock: socket.socket, page: StopPage, outputs: tuple[int, int]
    ) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._sock = sock
        self._receiver = Receiver(sock)
        self._page = page
        self._flusher = Flusher(self._flush_text)
        self._current: tuple[int, ChildReporter] | None = None
        self._speakers = Speakers(self._on_stray)
        self._streams = Streams(outputs, self._before_write, self._on_held, self._speakers)
        self._loaded = jobs.Loaded()
        self._resources = jobs.Resources()
        self._has_fresh = False
        self._sharing: Sharing | None = None
        self._watch = LoopWatch()
        self._untaken = b""
        self._held = False
        self._interrupted = False
        self._runs = 0
        self._told: set[tuple[str, str]] = set()
        self._memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        follow_handlers(self._on_raised)
        self._surroundings = Surroundings(self._streams, self._on_terminate)
        signal.signal(signal.SIGINT, self._on_interrupt)
        self._forks = Forks(self._on_terminate, self._forked, self._flusher.busy)

    def load(self) -> None:
        """Import the job modules, then say which types they have and why they have no more."""
        sys.path[:] = self._settings.path
        self._loaded = jobs.load(
            self._settings.modules, self._settings.entry_points, skip=self._settings.skip, around=_sustained
        )
        if os.getpid() != self._pid:  # a module has forked, and this process is no second worker
            os._exit(0)
        if ended := self._surroundings.loaded():
            self._send(encode(("note", f"processes that job modules started have ended: {_named(ended)}")))
        own = (self._sock.fileno(), self._memory, *self._surroundings.descriptors)
        self._state = ProcessState(quick_traits(), slow_traits(), own)
        self._resources = jobs.Resources(self._loaded.resources, making=self._making)
        self._threads = LeftThreads(self._resources, lambda: self._flusher.thread)
        self._garbage = Garbage()
        self._has_fresh = self._settings.fresh or any(known.fresh for known in self._loaded.types.values())
        prints = {name: jobs.fingerprint(known) for name, known in sorted(self._loaded.types.items())}
        concurrency = {
            name: known.concurrency for name, known in self._loaded.types.items() if self._is_shared(name)
        }
        loaded = {
            "types": prints,
            "errors": self._loaded.errors,
            "fresh": self._has_fresh,
            "concurrency": concurrency,
        }
        self._send(encode(("ready", loaded)))

    def serve(self) -> None:
        """Take runs until it is time to be replaced, or nobody is there to give any."""
        while frame := self._next():
            if frame == LEAVE or self._returned(frame) or self._taken(frame):
                self._send(encode(("retiring",)))
                return

    def _next(self) -> bytes:
        frame, self._untaken = self._untaken, b""
        return frame or self._receiver.frame()

    def _taken(self, frame: bytes) -> bool:
        """Have a run, and those that come to share the process; True when they were its last."""
        ticket, run = run_of(frame)
        return self._share(frame, run.type) if self._is_shared(run.type) else self._run(ticket, run)

    def _returned(self, frame: bytes) -> bool:
        """Give a run back that wants a process of its own, when this one is none any more."""
        if not self._runs or not self._has_fresh or not self._is_fresh(run_of(frame)[1].type):
            return False
        self._send(encode(("returned",), frame.decode()))
        return True

    def _is_fresh(self, type_name: str) -> bool:
        definition = self._loaded.types.get(type_name)
        return self._settings.fresh or (definition is not None and definition.fresh)

    def _is_shared(self, type_name: str) -> bool:
        """Whether runs of this type share a process."""
        definition = self._loaded.types.get(type_name)
        return definition is not None and definition.concurrency > 1 and not self._settings.fresh

    def leave(self) -> NoReturn:
        """End the process as a program ends, but within seconds.

        A handler that hangs is cut off.
        """
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(_EXIT_SECONDS_HELD if self._held else _EXIT_SECONDS)
        self._resources.close()
        self._surroundings.leave()
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing ends a fork
        os._exit(0)

    def _run(self, ticket: int, run: jobs.RunInfo) -> bool:
        """Run a job to its end, and say so. True when this was the last run of this process."""
        definition = self._loaded.types.get(run.type)
        if definition is None:  # handed over for the child before this one
            self._send(encode(("refused", ticket)))
            return False
        directory = workspace.path_of(Path(self._settings.workspace_root), run.job_id, run.claim)
        reporter = ChildReporter(
            ticket,
            self._send,
            self._page,
            directory,
            self._flusher,
            streams=self._streams,
            messages=self._settings.max_messages,
        )
        self._speakers.begin(self._threads.begin())
        self._streams.begin()
        self._current = (ticket, reporter)
        self._send(encode(("begun", ticket)))
        began = time.monotonic()
        ending = self._state.call(self._execute, definition, run, reporter)
        self._garbage.collect(time.monotonic() - began)
        self._current = None
        bent = self._restored(run.type, time.monotonic() - began)
        threads = self._threads.names(stopped=self._page.flagged(ticket))
        ended = self._surroundings.settle()
        self._speakers.end()
        if ended and ending.error is None and not ending.stop_seen:
            text = f"Processes that the job left have ended with it: {_named(ended)}"
            reporter.message(jobs.Level.WARNING, text)
        reporter.close()
        if not bent:
            self._surroundings.straighten()
        if threads:
            self._held = True
            self._left(run.type, "threads", ", ".join(threads), replaced=True)
        self._send(finished(ticket, ending, held=self._held))
        self._runs += 1
        used = self._is_fresh(run.type)
        return used or self._held or bent or ending.interrupted or self._interrupted or self._worn()

    def _share(self, frame: bytes, type_name: str) -> bool:
        """Have runs of one type until none is left. True when these were the last of this process."""
        self._watch.start()
        self._threads.adopt()
        sharing = self._sharing = Sharing(self._process(), frame)
        self._speakers.begin(self._threads.begin())
        self._streams.begin()
        self._speakers.share(sharing)
        limit = sys.getrecursionlimit()
        began = time.monotonic()
        held = self._state.call(sharing.serve)
        seconds = time.monotonic() - began
        sys.setrecursionlimit(limit)
        self._garbage.collect(seconds)
        bent = self._restored(type_name, seconds)
        threads = self._threads.names(stopped=False)
        self._speakers.end()
        self._sharing = None
        if ended := self._surroundings.settle():
            self._processes_left(type_name, ended)
        if not bent:
            self._surroundings.straighten()
        if threads or sharing.left_threads:
            self._held = bool(held)
            self._left(type_name, "threads", ", ".join(threads), replaced=True)
        for run, ending in held:
            run.text.close()
            run.reporter.close()
            self._send(finished(run.ticket, ending, held=True))
        self._runs += sharing.count + len(held)
        self._untaken = sharing.untaken
        if not (sharing.closing or threads or bent or self._worn()):
            return False
        if self._untaken:
            self._send(encode(("returned",), self._untaken.decode()))
        return True

    def _processes_left(self, type_name: str, ended: Sequence[str]) -> None:
        """Have the server log which processes runs that shared this one have left; once."""
        if (type_name, "processes") not in self._told:
            self._told.add((type_name, "processes"))
            text = f"processes that jobs of type {type_name} left have ended with the last of them: "
            self._send(encode(("note", text + _named(ended))))

    def _process(self) -> Process:
        return Process(
            sock=self._sock,
            receiver=self._receiver,
            page=self._page,
            send=self._send,
            types=self._loaded.types,
            resources=self._resources,
            watch=self._watch,
            workspaces=Path(self._settings.workspace_root),
            max_results=self._settings.max_results,
            max_messages=self._settings.max_messages,
            max_output=self._settings.max_output,
            worn=self._worn,
            prepare=self._state.prepare,
        )

    def _execute(
        self, definition: jobs.JobDefinition, run: jobs.RunInfo, reporter: ChildReporter
    ) -> jobs.Ending:
        return jobs.execute(
            definition, run, reporter, self._resources, max_results=self._settings.max_results
        )

    def _restored(self, type_name: str, seconds: float) -> bool:
        """Put back what a run has changed about the process; True when something stays changed."""
        remains = self._state.restore(seconds)
        for what in remains.put_back:
            self._left(type_name, what, replaced=False)
        for what in remains.stay:
            self._left(type_name, what, replaced=True)
        return bool(remains.stay)

    def _left(self, type_name: str, what: str, detail: str = "", *, replaced: bool) -> None:
        """Have the server log what runs of a type leave; once."""
        if (type_name, what) not in self._told:
            self._told.add((type_name, what))
            left = {"type": type_name, "what": what, "detail": detail, "replaced": replaced}
            self._send(encode(("left", left)))

    def _on_terminate(self, _signal: int, frame: FrameType | None) -> None:
        if self._current is not None and not self._forks.deferred(frame):
            ticket, reporter = self._current
            if self._page.flagged(ticket):
                reporter.shield.interrupt()

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """Note that the run was interrupted, and raise KeyboardInterrupt.

        SIGINT is meant for no job, but it can be sent: what the job was using is then half-used.
        """
        if self._sharing is not None:
            return  # nobody knows whom it would hit
        self._on_raised()
        signal.default_int_handler(number, frame)

    def _on_raised(self) -> None:
        """A handler has raised into whatever the job was doing."""
        self._interrupted = self._interrupted or self._current is not None

    @contextlib.contextmanager
    def _making(self) -> Iterator[None]:
        """While a resource is made: what it changes, and starts, is the worker's."""
        with self._state.adopting(), self._speakers.adopting():
            yield

    def _on_stray(self, thread: str, text: str) -> None:
        self._send(encode(("stray", thread, text)))

    def _before_write(self) -> None:
        """Send the messages that the job said before this output."""
        if self._current is not None:
            self._current[1].flush_messages()

    def _on_held(self) -> None:
        self._flusher.flush_text()
        self._speakers.own = self._flusher.thread

    def _flush_text(self) -> None:
        self._streams.flush()

    def _forked(self) -> None:
        """Begin anew in a process that the job has forked.

        What waits to be sent belongs to the worker, and so does its thread.
        """
        self._speakers.forked()
        if self._sharing is not None:
            self._sharing.forked()
        self._flusher = Flusher(self._flush_text)
        if self._current is not None:
            self._current[1].forked(self._flusher)

    def _worn(self, more: int = 0) -> bool:
        """Whether this process has had its number of runs, or has grown too large.

        more: runs that are not counted yet.
        """
        if self._runs + more >= self._settings.max_jobs:
            return True
        if self._settings.max_memory is None:
            return False
        _size, resident, *_ = os.pread(self._memory, 128, 0).split()
        return int(resident) * _PAGE > self._settings.max_memory

    def _send(self, frame: bytes) -> None:
        try:
            send(self._sock, frame)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)  # the server is gone: nothing may begin, and what runs is killed in a moment


@contextlib.contextmanager
def _sustained(_module: str, _loaded: jobs.Loaded) -> Iterator[None]:
    """While a module is imported.

    What it takes that the worker needs is said by the loader, once for all workers.
    """
    before = Necessities()
    yield
    before.put_back()


def _named(processes: Sequence[str]) -> str:
    """Programs by name, each once, and why they have ended."""
    return f"{', '.join(sorted(set(processes))[:_NAMES_SHOWN])}. {_KEPT}"
