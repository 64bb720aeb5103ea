"""Whose words are written: those of the run, or nobody's.

    main thread, threads that the run has started ──────────────> its output
    thread of a module or resource ──┬─ works for the run ──────> its output
                                     └─ else ──> nobody's: told in the log, once for each thread by name

Threads that modules have started, and those of resources, go on from run to run. What they print
would pass for the output of whatever job runs in that moment, of another tenant perhaps. The cases
in which such a thread speaks for a run are known: it carries out what the run has given to a
ThreadPoolExecutor, or a coroutine that the run has given to its event loop.

Where several runs share the worker, each thread and each printed line is that of the run in whose
context it is started or said (`shared`).

Only what goes through sys.stdout and sys.stderr is told apart: of what C code or os.write puts into
a descriptor nobody knows the thread.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol

_TEXT_MAX = 200
_NAMES_MAX = 100


works_for: ContextVar[object] = ContextVar("headrace_works_for", default=None)
"""The run for which code works, in whatever thread.

A coroutine that is given to another thread's loop has it by itself.
"""


class Shared(Protocol):
    """Several runs at once, told apart by context."""

    def current(self) -> object | None:
        """The run for which the present code works."""
        ...

    def gave(self, run: object, future: "Future[Any]") -> None:
        """A run has given work to a thread of an executor."""
        ...

    def starts(self, thread: threading.Thread) -> None:
        """The present code starts a thread."""
        ...

    def said(self, stream: int, text: str) -> bool:
        """The present code prints; False when it works for no run."""
        ...


class Speakers:
    """The threads of one worker, and whether each speaks for the run.

    `tell` is called with the name of a thread that speaks for no run, and with what it says.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._main = threading.get_ident()
        self._run: object = None
        self._numbers: set[int] = set()
        """The numbers of the threads that were there before the run.

        A number may be used again, so it counts only where nothing else does.
        """
        self._others: set[threading.Thread] = set()
        self._makers: set[threading.Thread] | None = None
        """While a resource is made: the threads that were there before."""
        self.own: threading.Thread | None = None
        """The worker's own thread, which writes what others have said."""
        self.shared: Shared | None = None
        """While several runs share the worker."""
        self._follows_threads = False
        _follow(self)

    def share(self, shared: Shared) -> None:
        """Several runs share the worker from now on, until `end`."""
        self.shared = shared
        if not self._follows_threads:
            self._follows_threads = True
            _follow_threads(self)

    def say(self, stream: int, text: str) -> None:
        """The present code prints in a worker that is shared."""
        if self.shared is not None and not self.shared.said(stream, text):
            self.left_out(text)

    def run(self) -> object | None:
        """The run for which the present code works, or None."""
        if self.shared is not None:
            return self.shared.current()
        return self._run if self.heard() else None

    def gave(self, run: object, future: "Future[Any]") -> None:
        """A run has given work to a thread of an executor."""
        if self.shared is not None:
            self.shared.gave(run, future)

    def starts(self, thread: threading.Thread) -> None:
        """The present code starts a thread; those of resources stay the worker's."""
        if self.shared is not None and self._makers is None:
            self.shared.starts(thread)

    def begin(self, before: set[int]) -> None:
        """A run begins; before: the threads that are there."""
        self._numbers = before
        self._others = set(threading.enumerate()) if len(before) > 1 else set()
        self._run = object()
        works_for.set(self._run)

    def end(self) -> None:
        """End the run: a thread that speaks from now on speaks for no run."""
        self._run = self.shared = None

    @contextlib.contextmanager
    def adopting(self) -> Iterator[None]:
        """Threads that are started within this are the worker's."""
        outer, self._makers = self._makers, set(threading.enumerate())
        try:
            yield
        finally:
            self._others |= set(threading.enumerate()) - self._makers
            self._makers = outer

    def forked(self) -> None:
        """Begin anew in a process that the job has forked.

        No other thread is here, and each new one is the job's.
        """
        if self.heard():
            self._main = threading.get_ident()
            self._numbers, self._others = set(), set()

    def heard(self) -> bool:
        """Whether the present thread speaks for the run, or for one of those that share it."""
        return self._speaks() if self.shared is None else self.shared.current() is not None

    def _speaks(self) -> bool:
        number = threading.get_ident()
        if number == self._main:
            return True
        thread = threading._active.get(number)  # type: ignore[attr-defined] # noqa: SLF001 - asking makes one
        if thread is not None and thread is self.own:
            return True
        if self._run is None or (self._makers is not None and thread not in self._makers):
            return False
        if works_for.get() is self._run:
            return True
        if thread is None or isinstance(thread, threading._DummyThread):  # noqa: SLF001 - started without threading
            return number not in self._numbers
        return thread not in self._others

    def left_out(self, text: str) -> None:
        """The present thread has said something for nobody."""
        if self._run is None:
            return  # perhaps a thread that the last run has left: that is told elsewhere
        name = threading.current_thread().name
        if text.strip() and name not in self._told and len(self._told) < _NAMES_MAX:
            self._told.add(name)
            self._tell(name, text.strip()[:_TEXT_MAX])


def _follow_threads(speakers: Speakers) -> None:
    """Have threads know for which of several runs they work."""
    start: Any = threading.Thread.start

    @wraps(start)
    def started(thread: threading.Thread) -> None:
        speakers.starts(thread)
        start(thread)

    setattr(threading.Thread, "start", started)  # noqa: B010 - as below


def _follow(speakers: Speakers) -> None:
    """Have threads of executors know for which run they work."""
    submit: Any = ThreadPoolExecutor.submit

    @wraps(submit)
    def submitted(
        executor: ThreadPoolExecutor, function: Callable[..., Any], /, *arguments: Any, **named: Any
    ) -> "Future[Any]":
        given = speakers.run()

        @wraps(function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
        def worked(*arguments: Any, **named: Any) -> Any:
            token = works_for.set(given)
            try:
                return function(*arguments, **named)
            finally:
                works_for.reset(token)

        future: Future[Any] = submit(executor, worked, *arguments, **named)
        speakers.gave(given, future)
        return future

    setattr(ThreadPoolExecutor, "submit", submitted)  # noqa: B010 - the one door of all; its type is none that can be named
